"""The frozen code of a submission (I3, I13): the user's own modules, once, for good."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shell import Shell

from hpcurate.errors import PipelineError
from hpcurate.runs.code import freeze_code
from hpcurate.start import NAME as BYTECODE
from hpcurate.system.installed import versions_here

MAIN = """
import json, numpy
from own_package.deep import part

def work():
    import own_lazy
    return own_lazy.value + part.value
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: a module, a package, one that is imported late, one that nobody imports."""
    folder = tmp_path / "own"
    files = {
        "own_main.py": MAIN, "own_lazy.py": "value = 1\n", "own_unused.py": "value = 0\n",
        "own_package/__init__.py": "", "own_package/deep/part.py": "value = 10\n", "own_package/prompt.txt": "Describe.\n",
        "own_package/__pycache__/x.cpython-311.pyc": "",
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (tmp_path / "run").mkdir()
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    return folder


@pytest.fixture
def frozen(own: Path, tmp_path: Path) -> Path:
    """The copy."""
    return Path(freeze_code(["own_main"], str(tmp_path / "run")))


def names(folder: Path) -> set[str]:
    """Top-level names in a frozen copy, without that of its bytecode."""
    return {path.name for path in folder.iterdir()} - {BYTECODE}


def test_what_is_reached_by_imports_is_copied(frozen: Path) -> None:
    """Also what is imported inside a function; hpcurate itself from a checkout."""
    assert {"own_main.py", "own_lazy.py", "own_package", "hpcurate"} == names(frozen)


def test_a_package_is_copied_with_its_data(frozen: Path) -> None:
    """Prompts and the like belong to the code; caches do not."""
    found = {str(path.relative_to(frozen)) for path in (frozen / "own_package").rglob("*") if path.is_file()}
    assert {"own_package/__init__.py", "own_package/deep/part.py", "own_package/prompt.txt"} == found


def test_the_copy_runs_after_the_original_has_changed(frozen: Path, own: Path, tmp_path: Path) -> None:
    """A pending submission never reads anything newer."""
    (own / "own_lazy.py").write_text("value = 1000\n")
    environment = {**os.environ, "PYTHONPATH": f"{frozen}:{own}"}
    program = "import own_main, hpcurate; print(own_main.work(), hpcurate.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ["11", str(frozen / "hpcurate" / "__init__.py")] == ran.stdout.split()


def test_the_same_code_is_copied_once(frozen: Path, tmp_path: Path) -> None:
    """The name is a digest of the content."""
    assert (str(frozen), 1) == (
        freeze_code(["own_main"], str(tmp_path / "run")),
        len(list((tmp_path / "run").iterdir())),
    )


def test_changed_code_is_another_copy(frozen: Path, own: Path, tmp_path: Path) -> None:
    """The one before stays for who still needs it."""
    (own / "own_lazy.py").write_text("value = 2\n")
    again = Path(freeze_code(["own_main"], str(tmp_path / "run")))
    assert (True, "value = 1\n") == (again != frozen, (frozen / "own_lazy.py").read_text())


def test_code_that_is_edited_while_it_is_copied_is_refused(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the folder had the name of one version and the code of another, for every run to come."""
    copyfile = shutil.copyfile

    def edited_first(source: Path, target: str) -> None:
        (own / "own_lazy.py").write_text("value = 'edited'\n")
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", edited_first)
    with pytest.raises(PipelineError, match="edited while the run was being started"):
        freeze_code(["own_main"], str(tmp_path / "run"))
    assert not list((tmp_path / "run").iterdir())
    assert freeze_code(["own_main"], str(tmp_path / "run"))


def test_the_copy_is_read_only(frozen: Path) -> None:
    """Nobody edits it by mistake."""
    assert {0o400} == {path.stat().st_mode & 0o777 for path in frozen.rglob("*") if path.is_file()}


@pytest.mark.parametrize("module", ["numpy", "attrs", "json", "sys", "no_such_module", "__main__"])
def test_what_is_installed_or_not_there_is_not_copied(module: str, tmp_path: Path) -> None:
    """Installed distributions are compared instead."""
    assert {"hpcurate"} == names(Path(freeze_code([module], str(tmp_path))))


def test_a_huge_package_is_refused_with_the_fix(own: Path, tmp_path: Path) -> None:
    """Somebody keeps the videos beside the code."""
    with open(own / "own_package" / "video.bin", "wb") as file:
        file.truncate(33_000_000)
    with pytest.raises(PipelineError, match="own_package holds 33 MB; move data away"):
        freeze_code(["own_main"], str(tmp_path / "run"))


def test_a_module_that_does_not_parse_is_still_copied(own: Path, tmp_path: Path) -> None:
    """It may be for another Python; what it imports is then unknown."""
    (own / "own_lazy.py").write_text("print 'Python 2'\n")
    assert "own_lazy.py" in names(Path(freeze_code(["own_main"], str(tmp_path / "run"))))


def test_an_upgrade_under_a_run_stops_it_and_the_same_command_goes_on(shell: Shell) -> None:
    """What the stages import and is installed is not copied: a worker compares its version (I13)."""
    site = shell.folder / "site-packages"
    dist = site / "fakepkg-1.0.dist-info"
    dist.mkdir(parents=True)
    (site / "fakepkg.py").write_text("")
    (dist / "top_level.txt").write_text("fakepkg\n")
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: fakepkg\nVersion: 1.0\n")
    (shell.cwd / "upgrade.py").write_text(
        "from pathlib import Path\n\nfrom hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
        "class Upgrade(Stage[HelloTask, HelloTask]):\n    def process(self, tasks):\n        import fakepkg\n\n"
        f"        Path({str(dist)!r}).rename({str(site / 'fakepkg-2.0.dist-info')!r})\n"
        "        return tasks\n"
    )
    shell.extra = {"PYTHONPATH": str(site)}
    assert {"numpy"} <= versions_here(["numpy", "No.such"]).keys()
    words = ["+pipeline=words", "stages.upgrade.file=upgrade.py", "stages.upgrade.after=[]"]
    words += ["stages.lower_case.after=[upgrade]"]
    stalled = shell.run(*words, status=1).stdout
    assert "fakepkg was 1.0 where the run was submitted, and is 2.0 here; type the run's command again" in stalled
    assert "complete" in shell.run(*words).stdout
