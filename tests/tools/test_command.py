"""The command `tritile`: its list, unknown names, missing extras, and the wheel that holds it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.publishing import Publisher, det, end
from tools import command, entry

ROOT = Path(__file__).resolve().parents[2]
# What the list of tools must not import: it is there before any dependency.
HEAVY = ("numpy", "cv2", "rich", "zmq", "pydantic", "argparse")
USERS = [name for name in command.TOOLS if name not in command.CHECKOUT_ONLY]


def run(*arguments: str, code: str = "", cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`python -m tools ...` after `code`."""
    start = "from tools.command import main; raise SystemExit(main())"
    return subprocess.run(
        [sys.executable, "-c", f"{code}\n{start}", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def without(*packages: str) -> str:
    """Code after which these packages cannot be imported, as where they are not installed."""
    return (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {packages!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_list_of_tools(arguments: list[str], tmp_path: Path) -> None:
    done = run(*arguments, code=without(*HEAVY), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for name, what in command.TOOLS.items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", done.stdout, re.MULTILINE)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_the_version() -> None:
    assert re.fullmatch(r"tritile \S+\n", run("--version").stdout)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("covert", 'there is no tool "covert"; did you mean "convert"?'),
        ("make-keys", 'there is no tool "make-keys"; did you mean "make_keys"?'),
        ("Subscribe", 'there is no tool "Subscribe"; did you mean "subscribe"?'),
        ("zzz", 'there is no tool "zzz"; see tritile --help'),
        ("", 'there is no tool ""; see tritile --help'),
        ("--json", "there is no option --json before the tool's name; see tritile --help"),
        ("launch", "launch is a command of its own: launch --help"),
    ],
)
def test_an_unknown_name(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([name]) == 2
    assert capsys.readouterr() == ("", f"tritile: {message}\n")


@pytest.mark.parametrize("name", USERS)
def test_help_needs_no_extra(name: str, tmp_path: Path) -> None:
    done = run(name, "--help", code=without(*entry.EXTRAS), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"tritile {name} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "packages", "extra"),
    [
        (["chaos", "topology.toml", "--kills", "1"], "psutil is", "tools"),
        (["soak", "topology.toml"], "psutil is", "tools"),
        (["bench", "pipeline"], "psutil is", "tools"),
        (["evaluate", "x.toml", "--truth", "x.json"], "pycocotools is", "tools"),
        (
            ["evaluate", "x.toml", "--truth", "x.json", "--plot", "x.png"],
            "pycocotools and matplotlib are",
            "tools",
        ),
        (["convert", "x.onnx", "-o", "x.rknn", "--dtype", "float16"], "onnx and py", "tools"),
        (["train", "small", "--out", "."], "torch and onnx are", "tools,train"),
    ],
)
def test_a_missing_extra_is_named(
    arguments: Sequence[str], packages: str, extra: str, tmp_path: Path
) -> None:
    done = run(*arguments, code=without(*entry.EXTRAS), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{arguments[0]}: {packages}")
    assert done.stderr.endswith(f" not installed: pip install 'tritile[{extra}]'\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", [["-m", "tools.subscribe"], ["-m", "tools", "subscribe"]])
def test_a_tool_as_a_module_and_by_the_command(how: list[str], publisher: Publisher) -> None:
    process = subprocess.Popen(
        [sys.executable, *how, publisher.endpoint], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    publisher.wait()
    publisher.send(det("cam0", 0), end("cam0", 1))
    stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, len(stdout.splitlines())) == (0, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_imports_ends_quietly(number: signal.Signals) -> None:
    code = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'rich': os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Interrupt())\n"
    )
    done = run("subscribe", "tcp://127.0.0.1:1", code=code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment with the wheel, built from a clean copy."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("actors", "tools"):
        leave_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=leave_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    _call(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, folder / "source")
    (wheel,) = folder.glob("*.whl")
    _call(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    _call(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel)
    # The dependencies are those of these tests. A path in a .pth file is searched last.
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    paths = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(paths))
    return folder / "venv" / "bin"


def _call(*words: str | Path) -> None:
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _installed(bin_: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [bin_ / words[0], *words[1:]],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
def test_the_wheel_has_every_tool_for_users(installed: Path, tmp_path: Path) -> None:
    done = _installed(installed, tmp_path, "tritile", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    listed = re.findall(r"^  (\w+)  ", done.stdout, re.MULTILINE)
    assert listed == USERS
    for name in USERS:
        done = _installed(installed, tmp_path, "tritile", name, "--help")
        assert (done.returncode, done.stderr) == (0, ""), name
    for name in command.CHECKOUT_ONLY:
        done = _installed(installed, tmp_path, "tritile", name)
        assert done.returncode == 2
        assert f"python -m tools.{name} --help" in done.stderr


@pytest.mark.slow
def test_every_package_is_in_the_wheel() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.findall(r'^    "((?:actors|tritile_tools)[\w.]*)",$', text, re.MULTILINE)
    tops = ("actors", "tools")
    folders = [path.parent for top in tops for path in ROOT.glob(f"{top}/**/__init__.py")]
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    expected = {f"tritile_{name}" if name.startswith("tools") else name for name in names}
    assert set(listed) == expected - {"tritile_tools.board"}


def test_the_wheel_collides_with_no_other_package(installed: Path, tmp_path: Path) -> None:
    (packages,) = (installed.parent / "lib").glob("python*/site-packages")
    own = {path.name for path in packages.iterdir() if "dist-info" not in path.name}
    assert own == {"actors", "tritile_tools", "dependencies.pth"}
    assert not (packages / "tritile_tools" / "board").exists()
    assert {path.name for path in installed.iterdir()} >= {"launch", "actorctl", "tritile"}


@pytest.mark.slow
def test_installed_tools_work_from_another_folder(
    installed: Path, tmp_path: Path, publisher: Publisher
) -> None:
    done = _installed(installed, tmp_path, "tritile", "scene", "scene.mp4", "--frames", "2")
    assert (done.returncode, done.stdout) == (0, "written: scene.mp4\n")
    topology = tmp_path / "topology.toml"
    topology.write_text(
        '[streams.cam0]\nsource = "scene.mp4"\n[models.m]\nruntime = "instant"\n'
        '[stages.s]\nmodel = "m"\nview = "tiles"\n[workers.npu0]\ncore = 0\nmodels = ["m"]\n'
        '[results]\njsonl = "out.jsonl"\nbind = "tcp://127.0.0.1:*"\n'
    )
    done = _installed(installed, tmp_path, "launch", "topology.toml")
    assert done.returncode == 0, done.stderr
    done = _installed(installed, tmp_path, "tritile", "compare", "out.jsonl", "out.jsonl")
    assert (done.returncode, done.stderr) == (0, "")
