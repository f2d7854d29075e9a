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

PACKAGED = ("hpcurate", "stages", "launchers", "conf", "envs")
CODE = ("hpcurate", "stages", "launchers")
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
    others = {*PACKAGED} - {"hpcurate"}
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


def test_the_wheel_holds_the_five_folders_and_nothing_else(wheel: set[str]) -> None:
    """What an installation brings, at the top: no tests, no scripts."""
    top = {name.split("/")[0] for name in wheel}
    assert {*PACKAGED} == {name for name in top if not name.endswith(".dist-info")}


def test_the_wheel_holds_every_file_of_them(wheel: set[str]) -> None:
    """No ignore pattern swallows a source folder, and data files come along."""
    here = {_name(path) for path in _files(PACKAGED, "*") if path.suffix != ".pyc"}
    assert set() == here - wheel


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


def test_exact_requirements_agree_with_their_pins() -> None:
    """A version that pyproject.toml fixes is the one in constraints.txt."""
    exact = {name: line for name, line in _requirements().items() if "==" in line}
    assert exact == {name: _pins()[name] for name in exact}
