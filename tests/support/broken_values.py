"""Broken topologies, second part: views, sources, models, outputs, overrides, several faults."""

from __future__ import annotations

from tests.support.topology_base import (
    BASE,
    IMAGES,
    NAME,
    REMEDY,
    SOURCE,
    base,
    bind,
    case,
    large,
    small,
    stream,
)

# fmt: off
VIEWS = [
    case("tiles-keys-with-frame",
         base(('view = "frame"', 'view = "frame"\noverlap = 0.2\ngrid = [2, 2]')),
         'stages.large.overlap: overlap goes with view = "tiles", and the view is "frame"; '
         "remove it or change the view",
         'stages.large.grid: grid goes with view = "tiles", and the view is "frame"; remove '
         "it or change the view"),
    case("crops-keys-with-tiles", base(("overlap = 0.1", 'source = "large"\nmax_crops = 4')),
         'stages.small.source: source goes with view = "crops", and the view is "tiles"; '
         "remove it or change the view",
         'stages.small.max_crops: max_crops goes with view = "crops", and the view is '
         '"tiles"; remove it or change the view'),
    case("crops-without-source", small('model = "small"\nview = "crops"'),
         'stages.small.source: missing; view = "crops" needs the stage whose boxes are cropped'),
    case("overlap-of-everything", base(("overlap = 0.1", "overlap = 1")),
         "stages.small.overlap: overlap must be at most 0.9, got 1"),
]

SOURCES = [
    case("video-missing", stream('source = "videos/street.mp4"'),
         'streams.cam0.source: there is no "videos/street.mp4" (looked for '
         "FOLDER/videos/street.mp4); correct the path"),
    case("video-empty", stream('source = "empty"'),
         'streams.cam0.source: "empty" is empty; give another file'),
    case("camera-as-a-number-in-quotes", stream('source = "2"'),
         'streams.cam0.source: there is no file "2"; for a camera write "/dev/video2"'),
    case("source-with-a-name-too-long", stream(f'source = "{"1" * 300}"'),
         f'streams.cam0.source: "{"1" * 200}..." cannot be read (File name too long); correct the '
         "path or its permissions"),
    case("source-empty-text", stream('source = ""'),
         "streams.cam0.source: the path is empty; give the path of a file"),
    case("source-that-no-file-can-have", stream('source = "a\\u0000b"'),
         'streams.cam0.source: "a\\u0000b" cannot be read (no file can have this name); correct '
         "the path or its permissions"),
    case("folder-without-images", stream('source = "nothing"'),
         f'streams.cam0.source: no image ({IMAGES}) lies in "nothing" (looked for '
         "FOLDER/nothing); correct the path"),
    case("glob-without-a-match", stream('source = "images/*.png"'),
         f'streams.cam0.source: no image ({IMAGES}) matches "images/*.png" (looked for '
         "FOLDER/images/*.png); correct the path"),
    case("glob-of-texts", stream('source = "images/*.txt"'),
         f'streams.cam0.source: no image ({IMAGES}) matches "images/*.txt" (looked for '
         "FOLDER/images/*.txt); correct the path"),
    case("scene-asked-like-a-camera", stream('source = "synthetic"\nfourcc = "MJPG"\nloop = true'),
         "streams.cam0.fourcc: fourcc goes with cameras only; remove it",
         "streams.cam0.loop: loop goes with files only; remove it"),
    case("truth-of-a-file", base(("[results]", "[results]\nground_truth = true")),
         'results.ground_truth: only the source "synthetic" has a ground truth; remove it'),
    case("camera-played-like-a-file", stream('source = "/dev/video0"\npace = "realtime"'),
         'streams.cam0.pace: pace goes with files and "synthetic" only; remove it'),
    case("stream-played-like-a-file", stream('source = "rtsp://10.0.0.2/stream"\nloop = false'),
         "streams.cam0.loop: loop goes with files only; remove it"),
    case("stream-asked-like-a-camera", stream('source = "rtsp://10.0.0.2/stream"\nfps = 10'),
         'streams.cam0.fps: fps goes with cameras and "synthetic" only; remove it'),
    case("camera-keys-with-a-file",
         stream(SOURCE + '\nsize = [1920, 1080]\nfps = 25\nfourcc = "MJPG"\nseed = 3'),
         'streams.cam0.size: size goes with cameras and "synthetic" only; remove it',
         'streams.cam0.fps: fps goes with cameras and "synthetic" only; remove it',
         "streams.cam0.fourcc: fourcc goes with cameras only; remove it",
         'streams.cam0.seed: seed goes with "synthetic" only; remove it'),
    case("fourcc-of-five", stream(SOURCE + '\nfourcc = "MJPEG"'),
         'streams.cam0.fourcc: fourcc must be four characters, as in "MJPG", got "MJPEG"'),
]

MODELS = [
    case("model-missing", large('path = "models/lage.onnx"'),
         'models.large.path: there is no "models/lage.onnx" (looked for '
         'FOLDER/models/lage.onnx); did you mean "large.onnx"?'),
    case("model-without-path", large("conf = 0.5"),
         "models.large.path: missing; add path = ... (the .onnx or .rknn file)"),
    case("model-with-a-name-too-long", large(f'path = "{"a" * 300}"'),
         f'models.large.path: "{"a" * 200}..." cannot be read (File name too long); correct the '
         "path or its permissions"),
    case("model-is-a-folder", large('path = "models"\nruntime = "onnx"'),
         'models.large.path: "models" is a folder; give a file'),
    case("model-is-no-file", large('path = "/dev/null"\nruntime = "onnx"'),
         'models.large.path: "/dev/null" is not an ordinary file; give one'),
    case("photo-as-a-model", large('path = "models/photo.onnx"'),
         'models.large.path: "models/photo.onnx" is not an ONNX model; export the model again'),
    case("web-page-as-a-model",
         large('path = "models/page.onnx"\nruntime = "emulated"\nlatency_ms = 13.6'),
         'models.large.path: "models/page.onnx" is not an ONNX model; export the model again'),
    case("weights-of-another-kind", large('path = "models/weights.pt"'),
         'models.large.path: "models/weights.pt" is neither a .onnx nor a .rknn; say which '
         "runtime = ... reads it"),
    case("rknn-file-with-mean", large('path = "models/board.rknn"\nmean = 0\nstd = 255'),
         "models.large.mean: a .rknn has its mean inside; remove it here and convert with it",
         "models.large.std: a .rknn has its std inside; remove it here and convert with it"),
    case("rknn-runtime-and-no-rknn-file", large('path = "models/renamed.rknn"\nruntime = "rknn"'),
         'models.large.path: "models/renamed.rknn" is not a .rknn file; convert the model again'),
    case("rknn-named-onnx", large('path = "models/board.onnx"'),
         'models.large.path: "models/board.onnx" is a .rknn file and runtime "onnx" reads '
         ".onnx; give the .onnx"),
    case("emulated-without-latency", large('path = "models/large.onnx"\nruntime = "emulated"'),
         'models.large.latency_ms: missing; runtime "emulated" needs the milliseconds that '
         "one inference takes"),
    case("emulated-with-latency-misspelt",
         large('path = "models/large.onnx"\nruntime = "emulated"\nlatency = 13.6'),
         'models.large.latency: unknown key "latency"; did you mean "latency_ms"?'),
    case("runtime-misspelt", large('runtime = "instnat"\nsize = [640, 640]'),
         'models.large.runtime: runtime must be "onnx", "rknn", "simulator", "emulated" or '
         '"instant", got "instnat"; did you mean "instant"?'),
    case("instant-with-a-file", large('path = "models/large.onnx"\nruntime = "instant"'),
         'models.large.path: runtime "instant" reads no file; remove path'),
    case("size-with-a-file", large('path = "models/large.onnx"\nsize = [640, 640]'),
         'models.large.size: size goes with runtime = "instant" only, a file has its own; '
         "remove it"),
    case("labels-missing", large('path = "models/large.onnx"\nlabels = "models/name.txt"'),
         'models.large.labels: there is no "models/name.txt" (looked for '
         'FOLDER/models/name.txt); did you mean "names.txt"?'),
    case("labels-blank", large('path = "models/large.onnx"\nlabels = "models/blank.txt"'),
         'models.large.labels: "models/blank.txt" has no class name; write one a line'),
    case("labels-no-text", large('path = "models/large.onnx"\nlabels = "images/one.JPG"'),
         'models.large.labels: "images/one.JPG" is not a text file; give one with a class name a '
         "line"),
]

OUTPUTS = [
    case("video-of-a-stream-over-a-source",
         base(('source = "street.mp4"', 'source = "street.mp4"\n[streams.b]\nsource = "x-b.mp4"'),
              ('video = "out.mp4"', 'video = "x.mp4"')),
         'render.video: "x-b.mp4" is also streams.b.source; write to another file'),
    case("log-over-the-video-of-a-stream",
         base(('source = "street.mp4"', 'source = "street.mp4"\n[streams.b]\nsource = "x-b.mp4"'),
              ('bind = "tcp://127.0.0.1:*"', 'bind = "tcp://127.0.0.1:*"\njsonl = "out-cam0.mp4"')),
         'render.video: "out-cam0.mp4" is also results.jsonl; write to another file'),
    case("log-into-a-pipe", bind('tcp://127.0.0.1:*"\njsonl = "pipe'),
         'results.jsonl: "pipe" is not an ordinary file; give one'),
    case("log-to-the-standard-output", bind('tcp://127.0.0.1:*"\njsonl = "/dev/stdout'),
         'results.jsonl: "/dev/stdout" is another file in every process; give an '
         "ordinary file, or have the records printed (see tritile subscribe --help)"),
    case("video-with-a-name-that-is-no-text", BASE,
         'render.video: the name "o\\udced.mp4" is not UTF-8 text; rename it',
         sets=("render.video=o\udced.mp4",)),
    case("pictures-into-a-folder-that-is-not-there",
         base(('video = "out.mp4"', 'pictures = "no/pictures"')),
         'render.pictures: "no/pictures" lies in a folder that does not exist (FOLDER/no); make '
         "it first"),
    case("address-of-another-kind", bind("udp://127.0.0.1:5570"),
         "results.bind: bind must be tcp://HOST:PORT, tcp://HOST:* or ipc://PATH, got "
         '"udp://127.0.0.1:5570"'),
    case("address-without-a-port", bind("tcp://127.0.0.1"),
         "results.bind: bind must be tcp://HOST:PORT, tcp://HOST:* or ipc://PATH, got "
         '"tcp://127.0.0.1"'),
    case("port-too-high", bind("tcp://127.0.0.1:65536"),
         "results.bind: bind must be tcp://HOST:PORT, tcp://HOST:* or ipc://PATH, got "
         '"tcp://127.0.0.1:65536"'),
    case("address-on-every-interface", bind("tcp://0.0.0.0:5570"),
         'results.bind: other machines can reach "tcp://0.0.0.0:5570"; use '
         "tcp://127.0.0.1:5570, " + REMEDY),
    case("address-that-only-begins-like-loopback", bind("tcp://127.example.org:*"),
         'results.bind: other machines can reach "tcp://127.example.org:*"; use '
         "tcp://127.0.0.1:*, " + REMEDY),
    case("insecure-of-the-wrong-type",
         base(('"tcp://127.0.0.1:*"', '"tcp://0.0.0.0:5570"\ninsecure = "yes"')),
         'results.insecure: insecure must be true or false, got "yes"'),
    case("socket-onto-a-file", bind("ipc://street.mp4"),
         'results.bind: "ipc://street.mp4" exists and is not a socket; give another path'),
    case("socket-in-no-folder", bind("ipc:///nowhere/results"),
         'results.bind: "ipc:///nowhere/results" lies in a folder that does not exist '
         "(/nowhere); make it first"),
    case("socket-path-too-long", bind("ipc:///" + "a" * 107),
         f"results.bind: /{'a' * 107} is too long for a socket (107 bytes); give a shorter path"),
    case("video-of-another-kind", base(("out.mp4", "out.webm")),
         'render.video: "out.webm" must end in .mp4, .mkv or .avi'),
    case("video-in-no-folder", base(("out.mp4", "videos/out.mp4")),
         'render.video: "videos/out.mp4" lies in a folder that does not exist '
         "(FOLDER/videos); make it first"),
    case("pictures-into-their-source",
         base((SOURCE, 'source = "images"'), ('video = "out.mp4"', 'pictures = "./images/"')),
         'render.pictures: streams.cam0.source reads the images of "./images/"; write to another '
         "folder"),
    case("pictures-into-the-glob-of-a-source",
         base((SOURCE, 'source = "images/*.[jJ]*"'), ('video = "out.mp4"', 'pictures = "images"')),
         'render.pictures: streams.cam0.source reads the images of "images"; write to another '
         "folder"),
    case("pictures-of-a-stream-into-the-source-of-another",
         base((SOURCE, 'source = "a.mp4"\n[streams.images]\nsource = "images"'),
              ('video = "out.mp4"', 'pictures = "."')),
         'streams.cam0.source: there is no "a.mp4" (looked for FOLDER/a.mp4); correct the path',
         'render.pictures: streams.images.source reads the images of "."; write to another folder'),
    case("pictures-over-the-image-that-is-the-source",
         base((SOURCE, 'source = "numbered/0017.jpg"'),
              ('video = "out.mp4"', 'pictures = "numbered"')),
         'render.pictures: streams.cam0.source reads the images of "numbered"; write to another '
         "folder"),
    case("pictures-onto-a-file", base(('video = "out.mp4"', 'pictures = "street.mp4"')),
         'render.pictures: "street.mp4" is a file; give a folder'),
    case("pictures-with-a-name-too-long", base(('video = "out.mp4"', f'pictures = "{"a" * 300}"')),
         f'render.pictures: "{"a" * 200}..." cannot be written (File name too long); give another '
         "folder"),
    case("log-is-a-folder", base(('bind = "tcp://127.0.0.1:*"', 'jsonl = "images"')),
         'results.jsonl: "images" is a folder; give a file in it'),
    case("video-onto-its-source", base(("out.mp4", "images/../street.mp4")),
         'render.video: "images/../street.mp4" is also streams.cam0.source; write to another file'),
    case("log-onto-the-topology", base(('bind = "tcp://127.0.0.1:*"', 'jsonl = "topology.toml"')),
         'results.jsonl: "topology.toml" is also this topology; write to another file'),
    case("log-onto-a-model", base(('bind = "tcp://127.0.0.1:*"', 'jsonl = "models/small.onnx"')),
         'results.jsonl: "models/small.onnx" is also models.small.path; write to another file'),
    case("two-outputs-onto-one-file",
         base(('bind = "tcp://127.0.0.1:*"', 'jsonl = "images/../out.mp4"')),
         'render.video: "out.mp4" is also results.jsonl; write to another file'),
]

OVERRIDES = [
    case("set-without-a-value", BASE,
         "merge.method: --set needs a value too; write --set KEY=VALUE",
         sets=("merge.method",)),
    case("set-without-a-key", BASE,
         '--set "=nms" has an empty key; write names joined by single dots',
         sets=("=nms",)),
    case("set-with-two-dots", BASE,
         'merge..method: --set "merge..method=nms" has an empty key; write names joined by '
         "single dots",
         sets=("merge..method=nms",)),
    case("set-beneath-a-value", BASE,
         'streams.cam0.source.x: streams.cam0.source is "street.mp4" and not a table; set '
         "streams.cam0.source itself",
         sets=("streams.cam0.source.x=1",)),
    case("set-an-index-out-of-range", BASE,
         "workers.npu0.models.2: workers.npu0.models is a list of 2, counted from 0; set the "
         "whole workers.npu0.models",
         sets=("workers.npu0.models.2=large",)),
    case("set-an-index-by-name", BASE,
         "workers.npu0.models.large: workers.npu0.models is a list of 2, counted from 0; set "
         "the whole workers.npu0.models",
         sets=("workers.npu0.models.large=small",)),
    case("set-an-unknown-key", BASE,
         'streams.cam0.sorce: unknown key "sorce"; did you mean "source"?',
         sets=("streams.cam0.sorce=street.mp4",)),
    case("set-a-wrong-type", BASE,
         'workers.npu0.core: core must be a whole number, got "two"',
         sets=("workers.npu0.core=two",)),
    case("set-half-a-stream", BASE,
         "streams.cam1.source: missing; add source = ... (video file, folder or glob of "
         'images, /dev/videoN, rtsp://... or http://..., or "synthetic")',
         sets=("streams.cam1.loop=true",)),
    case("set-beside-a-syntax-error", base(('method = "nms"', "method = nms")),
         "line 28, column 10: invalid value (text needs quotes), near: method = nms",
         "merge: --set needs a value too; write --set KEY=VALUE",
         sets=("merge", "streams.cam0.loop=true")),
]

SEVERAL = [
    case("one-in-every-table",
         """\
[results]
bind = "localhost:5570"
[streams.cam0]
source = "street.mov"
pace = "slow"
[streams.Cam1]
source = "street.mp4"
slots = 65
[models.large]
path = "models/none.onnx"
[models.small]
pth = "models/small.onnx"
[stages.large]
model = "huge"
[stages.small]
model = "small"
view = "tiles"
grid = "3x2"
[workers.npu0]
core = 0
models = ["large", "small", "smal"]
[workers.tiler]
models = ["small"]
[merge]
treshold = 0.4
[render]
video = "out.gif"
[rendr]
""",
         "results.bind: bind must be tcp://HOST:PORT, tcp://HOST:* or ipc://PATH, got "
         '"localhost:5570"',
         'streams.cam0.source: there is no "street.mov" (looked for FOLDER/street.mov); did '
         'you mean "street.mp4"?',
         'streams.cam0.pace: pace must be "fast" or "realtime", got "slow"',
         f'streams.Cam1: "Cam1" cannot be a name; {NAME}',
         "streams.Cam1.slots: slots must be at most 64, got 65",
         'models.large.path: there is no "models/none.onnx" (looked for '
         "FOLDER/models/none.onnx); correct the path",
         'models.small.pth: unknown key "pth"; did you mean "path"?',
         'stages.large.model: no model named "huge"; the models are: large, small',
         'stages.small.grid: grid must be two whole numbers from 1 to 16, as in [3, 2], got "3x2"',
         'workers.npu0.models.2: no model named "smal"; did you mean "small"?',
         'workers.tiler: "tiler" is the name of another actor; choose another name',
         "workers.tiler.core: missing; add core = ... (number of its NPU core; several may "
         "share one)",
         'merge.treshold: unknown key "treshold"; did you mean "threshold"?',
         'render.video: "out.gif" must end in .mp4, .mkv or .avi',
         'rendr: unknown table "rendr"; did you mean "render"?'),
]
