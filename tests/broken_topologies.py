"""Broken topologies and the complete list of lines that each must give, as a table.

`lay_out` makes a folder with the files that `BASE`, a topology without a fault, refers to. A case
is `BASE` with some edits (or a text of its own) and overrides. FOLDER in an expected line stands
for the folder. The table is used by the tests of `actors.topology` and of `launch`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BASE = """\
[results]
bind = "tcp://127.0.0.1:*"

[streams.cam0]
source = "street.mp4"

[models.large]
path = "models/large.onnx"
[models.small]
path = "models/small.onnx"

[stages.large]
model = "large"
view = "frame"
[stages.small]
model = "small"
view = "tiles"
overlap = 0.1

[workers.npu0]
core = 0
models = ["large", "small"]
[workers.npu1]
core = 1
models = ["small"]

[merge]
method = "nms"

[render]
video = "out.mp4"
"""

# The first bytes of a real model: ir_version 8, then producer_name.
ONNX = bytes.fromhex("08081207") + b"pytorch"


def lay_out(folder: Path) -> None:
    """The files around the topology; none holds more than the checks look at."""
    (folder / "models").mkdir()
    (folder / "images").mkdir()
    (folder / "nothing").mkdir()
    files = {
        "street.mp4": b"\0\0\0\x18ftypmp42",
        "models/large.onnx": ONNX,
        "models/small.onnx": ONNX,
        "models/photo.onnx": b"\xff\xd8\xff\xe0\0\x10JFIF",
        "models/page.onnx": b"<!DOCTYPE html>",
        "models/board.rknn": b"RKNN\0\0\0\0",
        "models/renamed.rknn": ONNX,
        "models/board.onnx": b"RKNN\0\0\0\0",
        "models/weights.pt": b"PK\x03\x04",
        "models/names.txt": b"person\ncar\n",
        "models/blank.txt": b"\n\n",
        "images/one.JPG": b"\xff\xd8\xff\xe0",
        "images/notes.txt": b"notes",
        "nothing/notes.txt": b"notes",
        "empty": b"",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)


def base(*edits: tuple[str, str]) -> str:
    """`BASE` with pieces of text replaced; each must occur exactly once."""
    text = BASE
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Case:
    """A broken topology. `lines` are whole, without the leading file name."""

    id: str
    text: str | bytes | None  # None: there is no file
    lines: tuple[str, ...]
    overrides: tuple[str, ...] = ()

    def expected(self, folder: Path) -> list[str]:
        """The lines with the file name and the folder filled in."""
        return [f"topology.toml: {line}".replace("FOLDER", str(folder)) for line in self.lines]


def case(id: str, text: str | bytes | None, *lines: str, sets: tuple[str, ...] = ()) -> Case:
    """One row of the table."""
    return Case(id, text, lines, sets)


REMEDY = (
    "give keys with curve = KEYS (python -m tools.make_keys), or allow it without with "
    "insecure = true"
)
SMALL = '[stages.small]\nmodel = "small"\nview = "tiles"\noverlap = 0.1\n'
NPU1 = '[workers.npu1]\ncore = 1\nmodels = ["small"]\n'
SOURCE = 'source = "street.mp4"'
IMAGES = "jpg, jpeg, png, bmp, webp, tif, tiff"
NAME = "use 1 to 32 of a-z, 0-9, - and _, and begin with a letter or digit"


def stream(line: str) -> str:
    """The base with another source or with more lines beneath it."""
    return base((SOURCE, line))


def large(lines: str) -> str:
    """The base with other keys in [models.large]."""
    return base(('path = "models/large.onnx"', lines))


def small(lines: str) -> str:
    """The base with another [stages.small]."""
    return base((SMALL, f"[stages.small]\n{lines}\n"))


def npu1(lines: str) -> str:
    """The base with another [workers.npu1]."""
    return base((NPU1, f"[workers.npu1]\n{lines}\n"))


def bind(address: str) -> str:
    """The base with another address."""
    return base(("tcp://127.0.0.1:*", address))


# fmt: off
WHOLE_FILE = [
    case("no-file", None,
         'there is no "FOLDER/topology.toml"; correct the path'),
    case("empty-file", "",
         '"FOLDER/topology.toml" is empty; give another file'),
    case("latin-1", b'[run]\nname = "caf\xe9"\n',
         "line 2 is not UTF-8 text; save the file as UTF-8"),
    case("only-a-comment", "# nothing yet\n",
         "no streams: add a [streams.NAME] table with source = ...",
         "no models: add a [models.NAME] table with path = ...",
         "no stages: add a [stages.NAME] table with model = ...",
         "no workers: add a [workers.NAME] table with core = ... and models = [...]"),
    case("no-models",
         '[streams.cam0]\nsource = "street.mp4"\n[stages.s]\nmodel = "m"\n'
         '[workers.w]\ncore = 0\nmodels = ["m"]\n',
         "no models: add a [models.NAME] table with path = ..."),
    case("no-stages", base(('[stages.large]\nmodel = "large"\nview = "frame"\n', ""), (SMALL, "")),
         "no stages: add a [stages.NAME] table with model = ..."),
]

SYNTAX = [
    case("unquoted-text", base(('method = "nms"', "method = nms")),
         "line 28, column 10: invalid value (text needs quotes), near: method = nms"),
    case("no-equals-sign", base(("core = 1", "core 1")),
         "line 24, column 6: expected '=' after a key in a key/value pair, near: core 1"),
    case("open-list", base(('["large", "small"]', '["large", "small"')),
         "line 23, column 1: unclosed array, near: [workers.npu1]"),
    case("open-list-at-the-end", BASE + "x = [1,",
         "invalid value at the end of the file; close what was opened last"),
    case("two-workers-of-one-name", base(("[workers.npu1]", "[workers.npu0]")),
         "workers.npu0: declared twice (line 23); give one of them another name"),
    case("a-table-twice", BASE + "[merge]\n",
         "merge: declared twice (line 32); keep one of the two"),
    case("a-key-twice", base(("core = 1", "core = 1\ncore = 2")),
         "workers.npu1.core: given twice (line 25); keep one of the two"),
    case("a-list-twice", base(("core = 1", 'core = 1\nmodels = [\n  "large",\n]')),
         "workers.npu1.models: given twice (line 28); keep one of the two"),
    case("a-key-that-is-a-table", BASE + "[render.video]\n",
         "render.video: given twice (line 32); keep one of the two"),
    case("endless-number", base(("core = 1", "core = " + "1" * 5000)),
         "a number has thousands of digits; write a smaller one"),
    case("endless-nesting", "x = " + "[" * 3000 + "]" * 3000,
         "lists or tables are nested too deeply; a topology needs three levels"),
]

KEYS = [
    case("misspelt-key", small('modle = "small"\nview = "tiles"'),
         'stages.small.modle: unknown key "modle"; did you mean "model"?'),
    case("misspelt-optional-key-that-matters",
         small('model = "small"\nveiw = "tiles"\ngrid = [3, 2]'),
         'stages.small.veiw: unknown key "veiw"; did you mean "view"?'),
    case("strange-key", base(('method = "nms"', "x = 1")),
         'merge.x: unknown key "x"; the keys here are: method, metric, threshold, '
         "class_agnostic, cut_boxes"),
    case("misspelt-table",
         base(("[models.large]", "[model.large]"), ("[models.small]", "[model.small]")),
         'model: unknown table "model"; did you mean "models"?'),
    case("strange-table", BASE + "[zoo]\n",
         'zoo: unknown table "zoo"; the tables are: run, results, streams, models, stages, '
         "workers, merge, render"),
    case("internal-field-as-a-key", 'file = "x"\n' + BASE,
         'file: unknown table "file"; the tables are: run, results, streams, models, stages, '
         "workers, merge, render"),
    case("misspelt-table-beside-the-right-one",
         base((SOURCE, 'source = "street.mpg"\n[stream.b]\nsource = "street.mp4"')),
         'streams.cam0.source: there is no "street.mpg" (looked for FOLDER/street.mpg); did '
         'you mean "street.mp4"?',
         'stream: unknown table "stream"; did you mean "streams"?'),
    case("missing-key", npu1('models = ["small"]'),
         "workers.npu1.core: missing; add core = ... (number of its NPU core; several may "
         "share one)"),
    case("missing-source", stream("loop = true"),
         "streams.cam0.source: missing; add source = ... (video file, folder or glob of "
         'images, /dev/videoN, rtsp://... or http://..., or "synthetic")'),
    case("list-of-tables",
         base(("[workers.npu0]", "[[workers]]"), ("[workers.npu1]", "[[workers]]")),
         "workers: workers must be a table of named tables as in [workers.NAME], got a list"),
    case("value-for-a-table", base((NPU1, "[workers]\nnpu1 = 1\n")),
         "workers.npu1: npu1 must be a table as in [workers.NAME], got 1"),
    case("stream-without-a-name", base(("[streams.cam0]", "[streams]")),
         'streams.source: source must be a table as in [streams.NAME], got "street.mp4"'),
    case("value-for-merge", "merge = true\n" + base(('[merge]\nmethod = "nms"\n', "")),
         "merge: merge must be a table as in [merge], got true"),
]

TYPES = [
    case("text-for-a-number", base(("core = 1", 'core = "zero"')),
         'workers.npu1.core: core must be a whole number, got "zero"'),
    case("fraction-for-a-whole-number", base(("core = 1", "core = 1.0")),
         "workers.npu1.core: core must be a whole number, got 1.0"),
    case("core-out-of-range", base(("core = 1", "core = 16")),
         "workers.npu1.core: core must be at most 15, got 16"),
    case("huge-number", base(("core = 1", "core = 0x" + "f" * 5000)),
         "workers.npu1.core: core must be at most 15, got a huge number"),
    case("text-for-a-switch", stream(SOURCE + '\nloop = "yes"'),
         'streams.cam0.loop: loop must be true or false, got "yes"'),
    case("number-for-text", small("model = 3"),
         "stages.small.model: model must be text in quotes, got 3"),
    case("number-for-a-path", base(('video = "out.mp4"', "video = 1")),
         "render.video: video must be a path in quotes, got 1"),
    case("text-for-a-list", npu1('core = 1\nmodels = "small"'),
         'workers.npu1.models: models must be a list in brackets, got "small"'),
    case("number-in-a-list", npu1('core = 1\nmodels = ["small", 2]'),
         "workers.npu1.models.1: models.1 must be text in quotes, got 2"),
    case("date-for-a-number", large('path = "models/large.onnx"\nlatency_ms = 2024-01-31'),
         "models.large.latency_ms: latency_ms must be a number, got 2024-01-31"),
    case("not-a-number", base(('method = "nms"', "threshold = nan")),
         "merge.threshold: threshold must be a finite number, got nan"),
    case("confidence-of-zero", large('path = "models/large.onnx"\nconf = 0'),
         "models.large.conf: conf must be more than 0, got 0"),
    case("confidence-of-one", large('path = "models/large.onnx"\nconf = 1.0'),
         "models.large.conf: conf must be less than 1, got 1.0"),
    case("choice-misspelt", small('model = "small"\nview = "tile"\noverlap = 0.1'),
         'stages.small.view: view must be "frame", "tiles" or "crops", got "tile"; did you '
         'mean "tiles"?'),
    case("choice-unknown", base(('method = "nms"', 'method = "wbf"\nmetric = 1')),
         'merge.method: method must be "nms", "nmm" or "greedy_nmm", got "wbf"',
         'merge.metric: metric must be "iou" or "ios", got 1'),
    case("grid-of-one-number", small('model = "small"\nview = "tiles"\ngrid = [3]'),
         "stages.small.grid: grid must be two whole numbers from 1 to 16, as in [3, 2], got [3]"),
    case("grid-too-fine", small('model = "small"\nview = "tiles"\ngrid = [17, 2]'),
         "stages.small.grid: grid must be two whole numbers from 1 to 16, as in [3, 2], got "
         "[17, 2]"),
    case("std-of-zero", large('path = "models/large.onnx"\nmean = [0, 0]\nstd = [1, 0, 1]'),
         "models.large.mean: mean must be a number or a list of three, as in [0, 0, 0], got [0, 0]",
         "models.large.std: std must be a number or a list of three, each more than 0, got "
         "[1, 0, 1]"),
    case("labels-of-numbers", large('path = "models/large.onnx"\nlabels = ["person", 1]'),
         'models.large.labels: labels must be a text file or a list of names, got ["person", 1]'),
    case("slots-too-few", stream(SOURCE + "\nslots = 1"),
         "streams.cam0.slots: slots must be at least 2, got 1"),
    case("no-cpus", npu1('core = 1\nmodels = ["small"]\ncpus = []'),
         "workers.npu1.cpus: cpus must be a list with at least one entry, got []"),
]

NAMES = [
    case("stream-in-capitals", base(("[streams.cam0]", "[streams.Cam0]")),
         f'streams.Cam0: "Cam0" cannot be a name; {NAME}'),
    case("name-with-a-space", base(("[workers.npu1]", '[workers."npu 1"]')),
         f'workers."npu 1": "npu 1" cannot be a name; {NAME}'),
    case("name-with-a-newline", base(("[workers.npu1]", '[workers."npu1\\n"]')),
         f'workers."npu1\\n": "npu1\\n" cannot be a name; {NAME}'),
    case("name-and-a-key-within", base(("[workers.npu1]\ncore = 1", "[workers.-1]\ncore = 99")),
         f'workers.-1: "-1" cannot be a name; {NAME}',
         "workers.-1.core: core must be at most 15, got 99"),
    case("run-name", '[run]\nname = "Street 1"\n' + BASE,
         f'run.name: "Street 1" cannot be a name; {NAME}'),
    case("reserved-name", base(("[workers.npu1]", "[workers.merger]")),
         'workers.merger: "merger" is the name of another actor; choose another name'),
    case("stream-named-as-a-worker", base(("[streams.cam0]", "[streams.npu1]")),
         'workers.npu1: a stream is named "npu1" too; give one of them another name'),
]

REFERENCES = [
    case("unknown-model", small('model = "smal"\nview = "tiles"'),
         'stages.small.model: no model named "smal"; did you mean "small"?'),
    case("unknown-model-unlike-any", small('model = "yolo"\nview = "tiles"'),
         'stages.small.model: no model named "yolo"; the models are: large, small'),
    case("worker-with-unknown-model", base(('["large", "small"]', '["larg", "small"]')),
         'workers.npu0.models.0: no model named "larg"; did you mean "large"?'),
    case("model-that-no-worker-holds", base(('["large", "small"]', '["small"]')),
         'stages.large.model: no worker holds the model "large"; add it to the models of a worker'),
    case("worker-without-models", base(('["large", "small"]', "[]")),
         "workers.npu0.models: the list is empty; name at least one model"),
    case("model-listed-twice", npu1('core = 1\nmodels = ["small", "small"]\ncpus = [4, 5, 4]'),
         'workers.npu1.models.1: "small" is listed twice; remove one',
         "workers.npu1.cpus.2: 4 is listed twice; remove one"),
    case("unknown-source-stage",
         small('model = "small"\nview = "crops"\nsource = "larg"\ncondition = "lrge"'),
         'stages.small.source: no stage named "larg"; did you mean "large"?',
         'stages.small.condition: no stage named "lrge"; did you mean "large"?'),
    case("stage-that-waits-for-itself",
         small('model = "small"\nview = "crops"\nsource = "small"\ncondition = "small"'),
         "stages.small.source: a stage cannot be its own source; name another stage",
         "stages.small.condition: a stage cannot be its own condition; name another stage"),
    case("cycle-of-two",
         base(('view = "frame"', 'condition = "small"'), ("overlap = 0.1", 'condition = "large"')),
         "stages.large.condition: stages wait for each other: large -> small -> large; remove "
         "one source or condition of these"),
    case("cycle-of-three-and-a-bystander",
         base(
             (
                 SMALL,
                 '[stages.d]\nmodel = "small"\ncondition = "a"\n'
                 '[stages.a]\nmodel = "small"\nview = "crops"\nsource = "b"\n'
                 '[stages.b]\nmodel = "small"\ncondition = "c"\n'
                 '[stages.c]\nmodel = "small"\ncondition = "a"\n',
             )
         ),
         "stages.a.source: stages wait for each other: a -> b -> c -> a; remove one source or "
         "condition of these"),
    case("two-cycles",
         base(
             (
                 SMALL,
                 '[stages.a]\nmodel = "small"\ncondition = "b"\n'
                 '[stages.b]\nmodel = "small"\ncondition = "a"\n'
                 '[stages.c]\nmodel = "small"\ncondition = "d"\n'
                 '[stages.d]\nmodel = "small"\ncondition = "c"\n',
             )
         ),
         "stages.a.condition: stages wait for each other: a -> b -> a; remove one source or "
         "condition of these",
         "stages.c.condition: stages wait for each other: c -> d -> c; remove one source or "
         "condition of these"),
]

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
         'results.ground_truth: only the source "synthetic" knows its ground truth; remove it'),
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
    case("model-is-a-folder", large('path = "models"\nruntime = "onnx"'),
         'models.large.path: "models" is a folder; give a file'),
    case("model-is-no-file", large('path = "/dev/null"\nruntime = "onnx"'),
         'models.large.path: "/dev/null" is no ordinary file; give one'),
    case("photo-as-a-model", large('path = "models/photo.onnx"'),
         'models.large.path: "models/photo.onnx" is no ONNX model; export the model again'),
    case("web-page-as-a-model",
         large('path = "models/page.onnx"\nruntime = "emulated"\nlatency_ms = 13.6'),
         'models.large.path: "models/page.onnx" is no ONNX model; export the model again'),
    case("weights-of-another-kind", large('path = "models/weights.pt"'),
         'models.large.path: "models/weights.pt" is no .onnx and no .rknn; say which runtime '
         "= ... reads it"),
    case("rknn-file-with-mean", large('path = "models/board.rknn"\nmean = 0\nstd = 255'),
         "models.large.mean: a .rknn has its own mean inside; remove it here, convert with it",
         "models.large.std: a .rknn has its own std inside; remove it here, convert with it"),
    case("rknn-runtime-and-no-rknn-file", large('path = "models/renamed.rknn"\nruntime = "rknn"'),
         'models.large.path: "models/renamed.rknn" is no .rknn file; convert the model again'),
    case("rknn-named-onnx", large('path = "models/board.onnx"'),
         'models.large.path: "models/board.onnx" is an .rknn file and runtime "onnx" reads '
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
         'models.large.size: size goes with runtime = "instant" only, a file knows its own; '
         "remove it"),
    case("labels-missing", large('path = "models/large.onnx"\nlabels = "models/name.txt"'),
         'models.large.labels: there is no "models/name.txt" (looked for '
         'FOLDER/models/name.txt); did you mean "names.txt"?'),
    case("labels-blank", large('path = "models/large.onnx"\nlabels = "models/blank.txt"'),
         'models.large.labels: "models/blank.txt" holds no name; write a class name a line'),
    case("labels-no-text", large('path = "models/large.onnx"\nlabels = "images/one.JPG"'),
         'models.large.labels: "images/one.JPG" is no text file; give one with a class name a '
         "line"),
]

OUTPUTS = [
    case("address-of-another-kind", bind("udp://127.0.0.1:5570"),
         "results.bind: bind must be tcp://HOST:PORT, tcp://HOST:* or ipc://PATH, got "
         '"udp://127.0.0.1:5570"'),
    case("address-without-a-port", bind("tcp://127.0.0.1"),
         "results.bind: bind must be tcp://HOST:PORT, tcp://HOST:* or ipc://PATH, got "
         '"tcp://127.0.0.1"'),
    case("port-too-high", bind("tcp://127.0.0.1:65536"),
         "results.bind: bind must be tcp://HOST:PORT, tcp://HOST:* or ipc://PATH, got "
         '"tcp://127.0.0.1:65536"'),
    case("address-for-everybody", bind("tcp://0.0.0.0:5570"),
         'results.bind: other machines can reach "tcp://0.0.0.0:5570"; use '
         "tcp://127.0.0.1:5570, " + REMEDY),
    case("address-that-only-begins-like-loopback", bind("tcp://127.example.org:*"),
         'results.bind: other machines can reach "tcp://127.example.org:*"; use '
         "tcp://127.0.0.1:*, " + REMEDY),
    case("insecure-of-the-wrong-type",
         base(('"tcp://127.0.0.1:*"', '"tcp://0.0.0.0:5570"\ninsecure = "yes"')),
         'results.insecure: insecure must be true or false, got "yes"'),
    case("socket-onto-a-file", bind("ipc://street.mp4"),
         'results.bind: "ipc://street.mp4" is a file already and no socket; give another path'),
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
         'streams.cam0.source.x: streams.cam0.source is "street.mp4" and no table; set '
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

# fmt: on
CASES: list[Case] = [
    *WHOLE_FILE,
    *SYNTAX,
    *KEYS,
    *TYPES,
    *NAMES,
    *REFERENCES,
    *VIEWS,
    *SOURCES,
    *MODELS,
    *OUTPUTS,
    *OVERRIDES,
    *SEVERAL,
]
