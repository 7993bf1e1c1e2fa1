"""What tests of the plan share: topologies made of values, and their plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.config.schema import Model, Render, Stage, Stream, Topology, Worker
from actors.dataflow.settings import ModelSettings, RunSettings
from actors.launcher.plan import make
from actors.sources.contract import SourceInfo
from actors.vision.heads.description import HeadDescription

NAMES = ["a", "b", "c", "d"]
HD = (1920, 1080)
PERSON = ("person", "bicycle", "car")


def model(name: str, latency_ms: float | None = 13.6, **other: Any) -> ModelSettings:
    values: dict[str, Any] = {
        "path": f"/models/{name}.onnx",
        "runtime": "emulated",
        "size": (640, 640),
        "head": HeadDescription("yolov8", 3, False, (0, 1, 2)),
        "labels": PERSON,
        "color": "rgb",
        "mean": (0.0, 0.0, 0.0),
        "std": (255.0, 255.0, 255.0),
        "conf": 0.25,
        "iou": 0.5,
    }
    return ModelSettings(name=name, latency_ms=latency_ms, **{**values, **other})


def source(size: tuple[int, int] = HD, fps: float | None = 30.0) -> SourceInfo:
    return SourceInfo(
        width=size[0],
        height=size[1],
        frame_bytes=size[0] * size[1] * 3,
        fps=fps,
        frames=302,
        live=False,
        sizes=(size,),
    )


def planned(
    models: list[ModelSettings],
    stages: dict[str, dict[str, Any]],
    workers: dict[str, Worker],
    sources: dict[str, SourceInfo] | None = None,
    video: Path | None = None,
    slots: int | None = None,
) -> RunSettings:
    sources = sources or {"cam0": source()}
    topology = Topology(
        file=Path("/here/topology.toml"),
        streams={name: Stream(source=f"/here/{name}.mp4", slots=slots) for name in sources},
        models={m.name: Model(path=Path(m.path), latency_ms=m.latency_ms) for m in models},
        stages={name: Stage(**stage) for name, stage in stages.items()},
        workers=workers,
        render=Render(video=video),
    )
    return make(topology, sources, {m.name: m for m in models})


def three(*models: str, **keys: Any) -> dict[str, Worker]:
    return {f"npu{core}": Worker(core=core, models=list(models), **keys) for core in range(3)}


BIG = {"model": "big", "view": "frame"}
SMALL = {"model": "small", "view": "tiles"}
