"""tritile: tiled YOLO detection on the three NPU cores of an RK3588, as a system of actors."""
