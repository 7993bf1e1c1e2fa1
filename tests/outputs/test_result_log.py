"""The result log: whole lines, each record once, also when its writer was killed in between."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from actors.outputs.result_log import ResultLog, ResultLogError

NONE = {"cam0": -1, "cam1": -1, "cam2": -1}
"""Nothing is published."""


def det(seq: int, stream: str = "cam0", **more: Any) -> dict[str, Any]:
    return {"v": 1, "stream": stream, "seq": seq, **more}


def end(stream: str = "cam0") -> dict[str, Any]:
    return {"v": 1, "stream": stream, "frames": 3}


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_a_record_readable_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    log = ResultLog(path, NONE)
    log.write(det(0, label="Fußgänger\nmit\u2028Hund", box=[1.5, 2.0]))
    assert (
        path.read_bytes()
        == (
            '{"v":1,"stream":"cam0","seq":0,"label":"Fußgänger\\nmit\u2028Hund","box":[1.5,2.0]}\n'
        ).encode()
    )
    log.write(end())
    assert path.read_bytes().count(b"\n") == 2
    log.close()


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    log = ResultLog(tmp_path / "out.jsonl", NONE)
    log.write(det(0))
    log.close()
    assert read(tmp_path / "out.jsonl") == [det(0)]


def test_what_is_no_file_is_written_to_as_it_is() -> None:
    log = ResultLog(Path("/dev/null"), NONE)
    log.write(det(0))
    log.close()


WHOLE = [det(0), det(1, text="x" * 70_000), det(2)]
CUTS: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"{",
    "all but the newline": json.dumps(det(3)).encode(),
    "a long half line": b'{"v":1,"detections":[' + b"0," * 100_000,
    "exactly a block": b"x" * 65536,
    "one more than a block": b"x" * 65537,
    "half a character": '{"label":"ß'.encode()[:-1],
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize("whole", [[], WHOLE[:1], WHOLE], ids=len)
def test_the_half_line_of_a_killed_writer_goes(
    tmp_path: Path, whole: list[Any], cut: bytes
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in whole) + cut)
    log = ResultLog(path, NONE)
    log.write(det(9))
    log.close()
    assert read(path) == [*whole, det(9)]


def test_what_is_published_again_after_a_restart_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    log = ResultLog(path, NONE)
    for record in (det(0), det(0, "cam1"), det(1), end(), det(2, "cam1")):
        log.write(record)
    log.close()
    again = ResultLog(path, {"cam0": 1, "cam1": 0, "cam2": -1})
    for record in (det(1), end(), det(1, "cam1"), det(2, "cam1"), det(3, "cam1"), end("cam1")):
        again.write(record)
    again.write(det(0, "cam2"))
    again.close()
    assert read(path) == [
        det(0),
        det(0, "cam1"),
        det(1),
        end(),
        det(2, "cam1"),
        det(3, "cam1"),
        end("cam1"),
        det(0, "cam2"),
    ]


def test_of_a_long_log_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    log = ResultLog(path, NONE)
    for seq in range(60):
        log.write(det(seq, text="y" * 100_000))
    log.close()
    # cam1 was over long before what is read of the log.
    size = path.stat().st_size
    again = ResultLog(path, {"cam0": 59, "cam1": 3})
    again.write(det(59))
    again.close()
    assert path.stat().st_size == size > 5_000_000


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "out.jsonl"):
        with pytest.raises(ResultLogError, match=r"^(Is a directory|No such file or directory)$"):
            ResultLog(path, NONE)


def test_a_full_disk_leaves_whole_lines_and_says_how_far_it_is_good(tmp_path: Path) -> None:
    """A limit on the size of the file stands in for the end of the disk."""
    path = tmp_path / "out.jsonl"
    log = ResultLog(path, NONE)
    for record in (det(0), det(0, "cam1"), end("cam1"), det(1)):
        log.write(record)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, limits[1]))
    try:
        with pytest.raises(ResultLogError, match="File too large") as caught:
            log.write(det(2, text="z" * 200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.last_seqs == {"cam0": 1, "cam2": -1}
    log.close()
    assert read(path) == [det(0), det(0, "cam1"), end("cam1"), det(1)]


def test_a_device_that_is_full() -> None:
    log = ResultLog(Path("/dev/full"), NONE)
    with pytest.raises(ResultLogError, match="No space left on device") as caught:
        log.write(det(0))
    assert caught.value.last_seqs == NONE
    log.close()


def test_a_log_deleted_in_mid_run_is_broken_at_the_next_record(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    log = ResultLog(path, NONE)
    log.write(det(0))
    path.unlink()
    with pytest.raises(ResultLogError, match="it was deleted") as caught:
        log.write(det(1))
    assert caught.value.last_seqs == NONE
    log.close()


def test_a_log_that_is_gone_is_not_begun_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with pytest.raises(ResultLogError, match="it was deleted") as caught:
        ResultLog(path, {"cam0": 7, "cam1": -1})
    assert caught.value.last_seqs == {"cam0": -1, "cam1": -1}
    assert not path.exists()


def test_a_log_that_was_cut_in_mid_run_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(det(seq)) + "\n" for seq in range(5)))
    with pytest.raises(ResultLogError, match="records were removed") as caught:
        ResultLog(path, {"cam0": 5, "cam1": -1})
    assert caught.value.last_seqs == {"cam0": 4, "cam1": -1}
    assert len(read(path)) == 5


def test_names_that_are_not_utf_8_stay_json(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    log = ResultLog(path, NONE)
    log.write(det(0, label="\udcff"))
    log.close()
    assert read(path) == [det(0, label="\udcff")]
