"""A real RTSP server, GStreamer's, with a moving picture of its own. For the system's Python.

    python3 rtsp_server.py PORT WIDTH HEIGHT FPS

Port 0 takes a free one. It prints the port once it listens; the stream is at /live.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

_PIPELINE = (
    "( videotestsrc is-live=true pattern=ball "
    "! video/x-raw,width={},height={},framerate={}/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 bitrate=1500 threads=1 "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )"
)


def main() -> None:
    Gst.init(None)
    port, *size_and_rate = sys.argv[1:]
    for element in ("x264enc", "videotestsrc", "rtph264pay"):
        if Gst.ElementFactory.find(element) is None:
            sys.exit(f"GStreamer has no {element}")
    if port == "check":
        return
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(_PIPELINE.format(*size_and_rate))
    factory.set_shared(True)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {port}")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
