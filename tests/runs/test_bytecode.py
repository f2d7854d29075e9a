"""Frozen code starts from one file: its bytecode, read once, with the same result as from the files themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from checkout import ROOT

from hpcurate.runs.bytecode import bytecode_of
from hpcurate.start import NAME, Bytecode, module_command

FILES = {
    "work.py": "import sys\nfrom own_package.deep import part\n\nprint(__name__, sys.argv[1:], part.value, part.data())\n",
    "parent.py": "import os\n\nprint(os.environ['PYTHONPATH'])\n",
    "late.py": (
        "import os, sys\nfrom hpcurate.start import let_go\n\nlet_go()\nfor path in sys.argv[1:]:\n    os.remove(path)\n"
        "from own_package.deep import part\n\nprint(part.value)\n"
    ),
    "broken.py": "from own_package.deep import part\n\npart.fail()\n",
    "own_package/__init__.py": "",
    "own_package/data.txt": "Describe.",
    "own_package/deep/__init__.py": "",
    "own_package/deep/part.py": (
        "import importlib.resources\n\nvalue = 10\n\n"
        "def data():\n    return importlib.resources.files('own_package').joinpath('data.txt').read_text()\n\n"
        "def fail():\n    raise ValueError(__file__)\n"
    ),
}
WATCH = (
    "import sys\nlog = open({log!r}, 'a', buffering=1)\n"
    "sys.addaudithook(lambda event, given: event in ('open', 'os.listdir', 'os.scandir') and print(given[0], file=log))\n"
)


@pytest.fixture
def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of frozen code with its bytecode; what that was made of has changed since."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    origin, copy = tmp_path / "origin", tmp_path / "code-1"
    for name, text in FILES.items():
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(text)
    copied = bytecode_of([(name, origin / name) for name in FILES])
    shutil.copytree(origin, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / NAME).write_bytes(copied)
    (copy / "hpcurate").mkdir()
    shutil.copy(ROOT / "hpcurate" / "start.py", copy / "hpcurate")
    shutil.rmtree(origin)
    return copy


def ran(code: Path, module: str, *words: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What the module says as it starts from frozen code."""
    environment = {**os.environ, "PYTHONPATH": str(site or ""), "PYTHONDONTWRITEBYTECODE": "1"}
    command = module_command(sys.executable, str(code), module, *words)
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


SAID = "__main__ ['a', 'b c'] 10 Describe.\n"


def test_a_module_runs_as_python_runs_it(frozen: Path) -> None:
    """With its arguments, and with the data files of its package."""
    done = ran(frozen, "work", "a", "b c")
    assert (0, SAID, "") == (done.returncode, done.stdout, done.stderr)


def test_what_is_opened_does_not_grow_with_the_code(frozen: Path, tmp_path: Path) -> None:
    """Of shared storage: the script, the bytecode, and the data that the module itself reads."""
    site, log = tmp_path / "site", tmp_path / "log"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WATCH.format(log=str(log)))
    assert SAID == ran(frozen, "work", "a", "b c", site=site).stdout
    opened = {line for line in log.read_text().splitlines() if line.startswith(str(frozen))}
    assert {str(frozen / name) for name in ("hpcurate/start.py", NAME, "own_package/data.txt")} == opened


@pytest.mark.parametrize(
    "change",
    [lambda data: b"", lambda data: data[:100], lambda data: data[:-1], lambda data: b"\0\0\0\0" + data[4:], None],
)  # fmt: skip
def test_without_bytecode_of_this_python_the_files_are_imported(frozen: Path, change: object) -> None:
    """None, cut short, or made by another: it only saves time."""
    if callable(change):
        (frozen / NAME).write_bytes(change((frozen / NAME).read_bytes()))
    else:
        (frozen / NAME).unlink()
    done = ran(frozen, "work", "a", "b c")
    assert (0, SAID, "") == (done.returncode, done.stdout, done.stderr)


def test_a_traceback_shows_the_frozen_source(frozen: Path) -> None:
    """Not what the bytecode was made of, which may have changed or gone."""
    part = frozen / "own_package" / "deep" / "part.py"
    said = ran(frozen, "broken").stderr
    assert f'File "{part}", line 9, in fail\n    raise ValueError(__file__)\nValueError: {part}\n' in said.replace(
        "    ^" + "^" * 28 + "\n", ""
    ).replace("  File", "File")


def test_a_module_that_python_kept_no_bytecode_of_is_imported_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is compiled for a run where Python is told to keep nothing."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "one.py").write_text("value = 1\n")
    empty = bytecode_of([("one.py", tmp_path / "one.py")])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert len(empty) < len(bytecode_of([("one.py", tmp_path / "one.py")]))


def value_in(data: bytes) -> int:
    """Of the module `one`."""
    found: dict[str, int] = {}
    exec(Bytecode("/", data).find_spec("one").loader.get_code("one"), found)  # noqa: S102 - of these tests
    return found["value"]


@pytest.mark.parametrize("kept_s", [-600, 0, 2], ids=["before", "within the second", "after"])
def test_bytecode_from_before_a_change_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_s: float
) -> None:
    """Python would not see that a file was replaced by one of the same size and time, as rsync and tar do: jobs ran
    the code of before, under the name of the new one.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file, now = tmp_path / "one.py", 1_700_000_000
    for value in (1, 2):
        file.write_text(f"value = {value}\n")
        os.utime(file, (now, now))
        if value == 1:
            bytecode_of([("one.py", file)])
    kept, changed = Path(cache_from_source(file)), file.stat().st_ctime
    os.utime(kept, (changed + kept_s, int(changed) + kept_s))
    assert (1 if kept_s > 1 else 2) == value_in(bytecode_of([("one.py", file)]))  # 1: so it is believed, and not made


def test_what_is_imported_late_is_read_by_itself(frozen: Path) -> None:
    """A worker keeps no bytecode that it may never need; where the file is gone, there is the source."""
    (frozen / "own_package" / "deep" / "part.py").write_text("value = 20\n")
    assert "10\n" == ran(frozen, "late").stdout
    assert "20\n" == ran(frozen, "late", str(frozen / NAME)).stdout


def test_children_find_the_code_too(frozen: Path) -> None:
    """Programs that a stage starts: before what the user has on the path."""
    assert f"{frozen}:/of/the/user\n" == ran(frozen, "parent", site=Path("/of/the/user")).stdout
