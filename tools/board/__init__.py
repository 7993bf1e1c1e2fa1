"""A board in a folder: run anything as on an RK3588, without one.

    sudo python -m tools.board setup                        # the Debian packages that it needs
    sudo python -m tools.board build ~/.cache/tritile-board
    sudo python -m tools.board model small.rknn --size 320 320 --classes 6 --latency 13.6
    sudo python -m tools.board run ~/.cache/tritile-board -- python3 -m actors.launch topology.toml

The folder is an arm64 Debian with Python 3.11, the project's dependencies and the vendor's own
rknn-toolkit-lite2, run by qemu's user emulation. Only the vendor's driver library is not his:
/usr/lib/librknnrt.so is ours (device/*.c). So a program takes the way that it takes on a board, up
to the library's functions.

A command runs in the folder with a mount namespace of its own (nothing stays mounted, however it
ends) as the same process, so signals and exit codes are those of the command. It sees this
checkout, the folder `shared` beside it, and /tmp under their usual paths, the kernel's /proc, and a
device tree that says rockchip,rk3588 (another with --chip). Root is needed for that.

Only the command itself can adopt orphans, as `launch` does; a `launch` started by a script on the
board would never see its actors.

What the device does:

- Each core runs one job at a time, whichever contexts and processes ask; a job takes the model's
  `latency_ms`. Masks as on the board (1, 2, 4: one core; 0: the one that is free first; 5 and 6 are
  refused); a model for several images falls back to that, with the vendor's message.
- It detects filled rectangles in six colours (device/detector.c) and answers with YOLOv8 outputs,
  int8.
- It fails as a script says, and records every call (device/npu.c, `npu.Npu`); both in the folder
  that RKNN_EMULATED names, /run/rknpu otherwise. A run of its own gets a folder of its own.

Models are files of `model.write`, or real ones, whose tensors it has and whose networks it does not
run. It says nothing about speed (qemu is slower than the chip's CPUs), accuracy, or drivers.
"""
