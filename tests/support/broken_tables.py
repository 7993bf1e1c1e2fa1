"""Broken topologies, first part: the file, its syntax, its tables, keys, names and references."""

from __future__ import annotations

from tests.support.topology_base import (
    BASE,
    NAME,
    NPU1,
    SMALL,
    SOURCE,
    base,
    case,
    large,
    npu1,
    small,
    stream,
)

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
    case("unknown-key", base(('method = "nms"', "x = 1")),
         'merge.x: unknown key "x"; the keys here are: method, metric, threshold, '
         "class_agnostic, truncated"),
    case("key-of-an-earlier-version", base(('method = "nms"', 'cut_boxes = "yield"')),
         'merge.cut_boxes: unknown key "cut_boxes"; write truncated = "suppress" (was "yield") '
         'or truncated = "keep"'),
    case("misspelt-table",
         base(("[models.large]", "[model.large]"), ("[models.small]", "[model.small]")),
         'model: unknown table "model"; did you mean "models"?'),
    case("unknown-table", BASE + "[zoo]\n",
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
    case("number-for-a-camera", stream("source = 0"),
         'streams.cam0.source: source must be text in quotes, got 0; a camera is given by its '
         'device, write "/dev/video0"'),
    case("fraction-for-a-source", stream("source = 0.5"),
         "streams.cam0.source: source must be text in quotes, got 0.5"),
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
    case("model-listed-twice", npu1('core = 1\nmodels = ["small", "small"]\ncpus = [0, 0]'),
         'workers.npu1.models.1: "small" is listed twice; remove one',
         "workers.npu1.cpus.1: 0 is listed twice; remove one"),
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
