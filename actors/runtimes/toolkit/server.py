"""The vendor's toolkit (rknn-toolkit2) behind a pipe: quantises, builds, exports and simulates.

Runs as a script in the toolkit's own environment, which pins an old numpy; it imports nothing of
this package and nothing but numpy and `rknn`. `client.py` starts it and sends it requests:

    python -I server.py FOLDER LOG PIXELS_FD OUTPUTS_FD

One JSON object a line on stdin, {"do": ..., ...}, is answered by one on stdout: what was found, or
{"error": sentence}. Whatever the toolkit prints goes to LOG. Pixels and outputs travel in shared
memory, which has no name. When stdin ends, the client has closed it or died: the server removes
FOLDER and exits at once, also in the middle of a build.

The toolkit raises, returns -1 or returns None where something is wrong; all three become an error.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import queue
import re
import shutil
import sys
import threading
import time
import types
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

NAME = "model"
"""Stem of the files of a quantised model: NAME.model, NAME.data, NAME.quantization.cfg."""
CONFIGURATION = NAME + ".quantization.cfg"
FLOATING = "custom_quantize_layers: {}"
_TRIES = 100


class ToolkitError(Exception):
    """What the toolkit could not do; one sentence."""


def stand_in_for_torch() -> None:
    """A module for the toolkit to import as torch, where that is not installed.

    The toolkit (2.5.0) imports torch always and needs it for PyTorch's own files and for the
    algorithm "gdq". Of what an ONNX model meets, one rule of its optimiser reorders index numbers
    with these few functions. Torch's wheel for x86_64 draws several GB of CUDA; this draws nothing.
    """

    class Indexes(np.ndarray):
        def numpy(self) -> Any:
            return np.asarray(self)

    class Wrapper:
        """`no_grad`, as a decorator and as a context."""

        def __init__(self, *_: object) -> None:
            pass

        def __call__(self, function: Any = None) -> Any:
            return function if callable(function) else self

        def __enter__(self) -> Wrapper:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def split(tensor: Any, sizes: int | Sequence[int], dim: int = 0) -> Any:
        if isinstance(sizes, int):
            places = list(range(sizes, tensor.shape[dim], sizes))
        else:
            places = [int(place) for place in np.cumsum(sizes)[:-1]]
        return tuple(np.split(tensor, places, dim))

    def arange(*bounds: int) -> Any:
        return np.arange(*bounds).view(Indexes)

    def cat(parts: Any, dim: int = 0) -> Any:
        return np.concatenate(parts, dim).view(Indexes)

    network = types.ModuleType("torch.nn")
    vars(network).update(Module=object)
    torch = types.ModuleType("torch")
    vars(torch).update(__version__="2.4.0", nn=network, no_grad=Wrapper)
    vars(torch).update(arange=arange, split=split, cat=cat)
    sys.modules.update({"torch": torch, "torch.nn": network})


def load_toolkit() -> Any:
    """The toolkit's class. Importing it takes a second and changes logging."""
    try:
        importlib.import_module("torch")
    except ImportError:
        stand_in_for_torch()
    return importlib.import_module("rknn.api").RKNN


def reason(error: BaseException) -> str:
    """The last line of whatever the toolkit raised: it packs whole tracebacks into messages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = re.sub(r"\x1b\[[0-9;]*m", "", lines[-1]) if lines else type(error).__name__
    return text.removeprefix("ValueError: ")


class Server:
    """One model at a time, in one folder."""

    def __init__(self, folder: str, pixels_fd: int, outputs_fd: int) -> None:
        self.folder = folder
        self.pixels_fd = pixels_fd
        self.outputs_fd = outputs_fd
        self.rknn: Any = None
        self.pixels: Any = None
        self.outputs: list[Any] = []
        self.kind = load_toolkit()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request, both as JSON objects. Raises ToolkitError."""
        do = request.pop("do")
        action = getattr(self, "do_" + do)
        try:
            found: dict[str, Any] = action(**request)
            return found
        except ToolkitError:
            raise
        # The toolkit calls sys.exit in places: SystemExit is not an Exception.
        except BaseException as error:
            raise ToolkitError(f"the toolkit failed to {do} ({reason(error)})") from None

    def new(self, config: dict[str, Any]) -> None:
        """Begin with another model; `config` are the arguments of the toolkit's `config`."""
        self.close()
        self.rknn = self.kind(verbose=True)
        checked("take its configuration", self.rknn.config(**config))

    def close(self) -> None:
        """Release the model. May be called again."""
        if self.rknn is not None:
            self.rknn.release()
            self.rknn = None

    def do_hello(self) -> dict[str, Any]:
        """Version of the toolkit."""
        return {"toolkit": version("rknn-toolkit2"), "python": sys.version.split()[0]}

    def do_quantise(
        self, onnx: str, folder: str, dataset: str, config: dict[str, Any]
    ) -> dict[str, Any]:
        """Measure the ranges of every tensor; leaves the files of a quantised model in `folder`."""
        self.new(config)
        # The toolkit calls the files by the ONNX file's name and writes them where it is.
        os.chdir(folder)
        shutil.copyfile(onnx, NAME + ".onnx")
        checked("load the ONNX file", self.rknn.load_onnx(NAME + ".onnx"))
        checked("quantise the model", self.rknn.hybrid_quantization_step1(dataset=dataset))
        text = Path(CONFIGURATION).read_text()
        names = re.findall(r"^    (\S.*):\s*$", text, re.M)
        os.chdir(self.folder)
        # Names that look like numbers are quoted there.
        return {"tensors": [name.strip("'\"") for name in names]}

    def do_build(
        self, source: str, config: dict[str, Any], floating: Sequence[str]
    ) -> dict[str, Any]:
        """Build from a folder's quantised files; the tensors in `floating` stay float16."""
        os.chdir(self.folder)
        config_file = Path(source, CONFIGURATION)
        if floating:
            text = config_file.read_text()
            if not text.startswith(FLOATING):
                raise ToolkitError("the toolkit's file of ranges is not understood")
            table = "".join(f"    {json.dumps(name)}: float16\n" for name in floating)
            config_file = Path(self.folder, "floating.cfg")
            config_file.write_text("custom_quantize_layers:\n" + table + text[len(FLOATING) :])
        self.new(config)
        files = (str(Path(source, NAME + suffix)) for suffix in (".model", ".data"))
        checked("build", self.rknn.hybrid_quantization_step2(*files, str(config_file)))
        return {}

    def do_build_float(self, onnx: str, config: dict[str, Any]) -> dict[str, Any]:
        """Build without quantisation: float16 throughout."""
        self.new(config)
        checked("load the ONNX file", self.rknn.load_onnx(onnx))
        checked("build", self.rknn.build(do_quantization=False))
        return {}

    def do_build_hybrid(self, onnx: str, dataset: str, config: dict[str, Any]) -> dict[str, Any]:
        """Quantise with the toolkit's own choice of layers that stay float16."""
        self.new(config)
        checked("load the ONNX file", self.rknn.load_onnx(onnx))
        checked("build", self.rknn.build(do_quantization=True, dataset=dataset, auto_hybrid=True))
        return {}

    def do_export(self, path: str) -> dict[str, Any]:
        """Write the .rknn file."""
        checked("export", self.rknn.export_rknn(path))
        return {}

    def do_open(self) -> dict[str, Any]:
        """Make the simulator of what was built ready."""
        checked("start its simulator", self.rknn.init_runtime())
        self.outputs = []
        return {}

    def do_run(self, height: int, width: int) -> dict[str, Any]:
        """Run the uint8 (height, width, 3) pixels in shared memory; the outputs' shapes.

        The outputs follow one another as float32 in the other memory.
        """
        if self.pixels is None:
            memory = mmap.mmap(self.pixels_fd, height * width * 3, prot=mmap.PROT_READ)
            self.pixels = np.frombuffer(memory, np.uint8).reshape(1, height, width, 3)
        begin = time.monotonic_ns()
        found = self.rknn.inference(inputs=[self.pixels], data_format=["nhwc"])
        end = time.monotonic_ns()
        if found is None:
            raise ToolkitError("the toolkit's simulator gave no outputs")
        shapes = [list(output.shape) for output in found]
        if [list(output.shape) for output in self.outputs] != shapes:
            sizes = [int(np.prod(shape)) for shape in shapes]
            os.ftruncate(self.outputs_fd, 4 * sum(sizes))
            memory = mmap.mmap(self.outputs_fd, 4 * sum(sizes))
            parts = np.split(np.frombuffer(memory, np.float32), np.cumsum(sizes)[:-1])
            self.outputs = [part.reshape(s) for part, s in zip(parts, shapes, strict=True)]
        for memory, output in zip(self.outputs, found, strict=True):
            np.copyto(memory, output)
        return {"shapes": shapes, "span": [begin, end]}

    def do_analyse(self, image: str, folder: str) -> dict[str, Any]:
        """Per layer how far int8 is from float: cosine and Euclidean, of the layer and up to it."""
        checked("compare layers", self.rknn.accuracy_analysis(inputs=[image], output_dir=folder))
        layers = []
        for line in Path(folder, "error_analysis.txt").read_text().splitlines():
            match = re.match(r"\[(\S+)\]\s+(\S+)\s+(\d.*)", line)
            # Columns run together where a number is long: "1160.331180.99947".
            numbers = re.findall(r"\d+\.\d{5}", match[3]) if match else []
            if match and len(numbers) == 4:
                layers.append([match[1], match[2], *map(float, numbers)])
        return {"layers": layers}


def checked(what: str, answer: object) -> None:
    """Nothing, where the toolkit's answer is 0."""
    if answer != 0:
        raise ToolkitError(f"the toolkit could not {what} (it answered {answer})")


def read(folder: str, requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Queue the requests on stdin; at its end remove the folder and exit, whatever is running."""
    for line in sys.stdin:
        requests.put(json.loads(line))
    # The other thread may be writing there at this moment.
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            break
        time.sleep(0.02)
    os._exit(0)


def main() -> None:
    """The script's entry: answer requests until stdin ends."""
    folder, log = sys.argv[1:3]
    pixels_fd, outputs_fd = map(int, sys.argv[3:5])
    # The toolkit prints on both, from C too: only a descriptor of our own stays clean.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.chdir(folder)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=read, args=(folder, requests), daemon=True).start()
    server = None
    while True:
        request = requests.get()
        try:
            if server is None:
                server = Server(folder, pixels_fd, outputs_fd)
            found = server.answer(request)
        except ToolkitError as failure:
            found = {"error": str(failure)}
        except Exception as error:
            found = {"error": f"rknn-toolkit2 does not start ({reason(error)})"}
        sys.stdout.flush()
        answers.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
