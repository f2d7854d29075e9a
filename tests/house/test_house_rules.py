"""Rules of the house that a tool does not check: sizes, layers, packaging, pins."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT
from packaging.specifiers import SpecifierSet

from hpcurate.environments.runtime import pinned

CODE = ("hpcurate", "stages", "launchers")
DATA = ("conf", "envs")
MAX_LINES = 500


def _files(folders: tuple[str, ...], pattern: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_too_long() -> None:
    """A file over 500 lines holds two ideas."""
    lengths = {_name(path): len(path.read_text().splitlines()) for path in _files(CODE, "*.py")}
    assert {} == {name: lines for name, lines in lengths.items() if lines > MAX_LINES}


def test_every_test_says_what_it_specifies() -> None:
    """Each test function has a docstring of at least one sentence."""
    tests = (
        (path, node)
        for path in _files(("tests",), "test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )
    assert [] == [f"{_name(path)}::{node.name}" for path, node in tests if not ast.get_docstring(node)]


def test_the_library_imports_no_other_top_level_folder() -> None:
    """stages/ and launchers/ are reached by `_target_`, conf/ and envs/ by path: never by import."""
    others = {*CODE, *DATA} - {"hpcurate"}
    found = [
        f"{_name(path)}: {module}"
        for path in _files(("hpcurate",), "*.py")
        if "template" not in path.parts  # a project of a user's, yet to be made
        for module in _imports(path)
        if module.split(".")[0] in others
    ]
    assert [] == found


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("folder", ["stages", "launchers"])
def test_namespace_packages_stay_namespace_packages(folder: str) -> None:
    """An __init__.py there would hide a user's own folder of that name."""
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
    assert 0 == done.returncode, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return set(archive.namelist())


def test_the_wheel_has_three_folders_and_nothing_else(wheel: set[str]) -> None:
    """At the top of an installation: no tests, no scripts, and no data under a name as general as `conf`."""
    top = {name.split("/")[0] for name in wheel}
    assert {*CODE} == {name for name in top if not name.endswith(".dist-info")}


def test_the_wheel_has_every_file_of_them(wheel: set[str]) -> None:
    """No ignore pattern hides a source folder; conf/ and envs/ lie inside hpcurate/."""
    code = {_name(path) for path in _files(CODE, "*") if path.suffix != ".pyc"}
    data = {f"hpcurate/{_name(path)}" for path in _files(DATA, "*")}
    assert set() == (code | data) - wheel


def _requirements() -> dict[str, str]:
    """Normalised name → requirement, of the library and the extras that the tests install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["dev"], *extras["video"]]
    return {_normal(line): line for line in lines if not line.startswith("hpcurate[")}


def _normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[ ]", requirement)[0]).lower()


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {_normal(line): line for line in lines if line and not line.startswith("#")}


def test_every_dependency_of_the_tests_is_pinned() -> None:
    """`make test` next year installs what it installs today."""
    assert set() == _requirements().keys() - _pins().keys()


def test_pins_are_within_the_bounds() -> None:
    """A version in constraints.txt is one that pyproject.toml allows."""
    pins = {name: line.split("==")[1] for name, line in _pins().items()}
    bounds = {name: SpecifierSet(re.sub(r"^[\w.-]+(\[.*\])?", "", line)) for name, line in _requirements().items()}
    assert [] == [name for name, bound in bounds.items() if pins[name] not in bound]


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    """What `make test-oldest` installs: one exact version of each requirement."""
    command = [sys.executable, ROOT / "scripts" / "oldest-versions"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    oldest = {_normal(line): line.split("==")[1] for line in lines}
    assert _requirements().keys() <= oldest.keys()
    assert "1.5.4" == oldest["submitit"]
    assert _pins()["torch"].split("==")[1] == oldest["torch"], "it has no lower bound: the tests' own"


def test_the_runtime_of_stage_processes_has_the_pinned_versions() -> None:
    """Rows that one side writes are read on the other: the same attrs and msgspec, wherever a release exists."""
    for version in ("3.10", "3.11", "3.12", "3.13", "3.14"):
        assert [_pins()[name] for name in ("attrs", "msgspec")] == pinned(version)
    assert pinned("3.14") == pinned("3.15"), "a newer Python gets the newest row"
