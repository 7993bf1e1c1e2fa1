"""From a trained network to the file that the project runs."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch

from .network import STRIDES, Exported, Network

_OPSET = 12


def export(network: Network, labels: tuple[str, ...], path: Path, size: int = 640) -> None:
    """Write an ONNX file with a fixed input (1, 3, size, size), RGB from 0 to 1, nine outputs.

    Its class names are in its metadata. Operator set 12: what the vendor's converter supports best.
    """
    names = [f"{what}_{stride}" for stride in STRIDES for what in ("box", "scores", "sum")]
    # The exporter puts a model back into the mode in which it found it.
    model = Exported(network).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The exporter that traces is called old, but it is the one that writes this operator set.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, size, size),),
            str(path),
            opset_version=_OPSET,
            input_names=["images"],
            output_names=names,
            dynamo=False,
        )
    written = onnx.load(path)
    for key, text in (
        ("names", str(dict(enumerate(labels)))),
        ("description", "small anchor-free detector, trained on the synthetic scene of tritile"),
        ("license", "Apache-2.0"),
    ):
        entry = written.metadata_props.add()
        entry.key, entry.value = key, text
    onnx.checker.check_model(written)
    onnx.save(written, path)
