"""Which code is the user's, and which of it a module imports: what a stage without a version is identified by."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from checkout import ROOT

from hpcurate.planning.modules import SHIPPED_STAGES, own_code, syntax_digest
from hpcurate.stage import Stage

Write = Callable[[dict[str, str]], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write modules into a folder on the import path."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        importlib.invalidate_caches()

    return write


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("import own_help", ["own_help.py"]),
        ("import own_help as h, json", ["own_help.py"]),
        ("from own_help import value", ["own_help.py"]),
        ("from own_help import *", ["own_help.py"]),
        ("def late():\n    import own_help", ["own_help.py"]),
        ("try:\n    import own_help\nexcept ImportError:\n    pass", ["own_help.py"]),
        ("import own_pack.deep.part", ["own_pack/__init__.py", "own_pack/deep/part.py"]),
        ("from own_pack.deep import part", ["own_pack/__init__.py", "own_pack/deep/part.py"]),
        ("from own_pack import sibling", ["own_help.py", "own_pack/__init__.py", "own_pack/sibling.py"]),
        ("import numpy.linalg, sys, hpcurate.stage, stages.video.cut, launchers.local, nowhere.at_all", []),
    ],
)
def test_what_a_module_imports_of_the_users_is_found(write: Write, statement: str, found: list[str]) -> None:
    """Wherever the import stands; a package above a module runs, too; what is installed or ships with hpcurate is not."""
    write({
        "own_main.py": statement, "own_help.py": "value = 1", "own_pack/__init__.py": "x = 1",
        "own_pack/deep/part.py": "y = 1", "own_pack/sibling.py": "import own_help", "own_other.py": "z = 1",
    })  # fmt: skip
    assert found == list(own_code(["own_main"], without=["own_main"]))


@pytest.mark.parametrize(
    "statement",
    ["from . import part", "from .part import y", "from .. import sibling", "from ..sibling import s", "from ..deep import part"],
)  # fmt: skip
def test_relative_imports_are_followed(write: Write, statement: str) -> None:
    """Of the module's package, or of one above."""
    write({
        "own_rel/__init__.py": "", "own_rel/sibling.py": "s = 1",
        "own_rel/deep/part.py": "y = 1", "own_rel/deep/main.py": statement,
    })  # fmt: skip
    wanted = "own_rel/deep/part.py" if "part" in statement else "own_rel/sibling.py"
    assert [wanted] == list(own_code(["own_rel.deep.main"], without=["own_rel.deep.main"]))


def test_a_users_stages_folder_is_the_users_beside_ours(write: Write) -> None:
    """`stages` is a namespace package with portions of both."""
    write({"stages/own_caption.py": "from stages import own_lib, hello", "stages/own_lib.py": "x = 1"})
    assert ["stages/own_caption.py", "stages/own_lib.py"] == list(own_code(["stages.own_caption"]))


def test_modules_that_import_each_other_are_followed_once(write: Write) -> None:
    """A circle ends."""
    write({"own_a.py": "import own_b", "own_b.py": "import own_a"})
    assert ["own_a.py", "own_b.py"] == list(own_code(["own_a"]))


def test_nothing_is_imported_or_run(write: Write) -> None:
    """Looking is reading."""
    write({"own_boom/__init__.py": "raise SystemExit", "own_boom/part.py": "x = 1", "own_m.py": "import own_boom.part"})
    assert ["own_boom/__init__.py", "own_boom/part.py"] == list(own_code(["own_m"], without=["own_m"]))


def test_what_cannot_be_parsed_counts_by_its_bytes(write: Write) -> None:
    """An extension module, or a program for another Python."""
    write({"own_ext.so": "\x7fELF 1", "own_old.py": "print 'x'", "own_m.py": "import own_ext, own_old"})
    before = own_code(["own_m"])
    write({"own_ext.so": "\x7fELF 2"})
    after = own_code(["own_m"])
    assert ["own_ext.so", "own_m.py", "own_old.py"] == list(before)
    assert {"own_ext.so"} == {name for name in before if before[name] != after[name]}


def test_comments_do_not_count_and_an_empty_module_not_at_all() -> None:
    """So an empty `__init__.py` changes no identity."""
    assert syntax_digest(b"x = 1  # one") == syntax_digest(b"# a number\nx=1\n") != syntax_digest(b"x = 2")
    assert "" == syntax_digest(b"# nothing yet\n")


def test_the_stages_that_come_with_hpcurate_are_named() -> None:
    """In a checkout a user's own lie beside them, and count as the user's."""
    tracked = subprocess.run(["git", "ls-files", "stages"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(SHIPPED_STAGES) == {Path(line).parts[1].removesuffix(".py") for line in tracked.splitlines()}


def test_every_stage_that_comes_with_hpcurate_has_a_version() -> None:
    """So none of its modules has to stand for one, and no release of it runs anything again by an edit."""
    paths = [path for path in (ROOT / "stages").rglob("*.py") if path.name != "__init__.py"]
    modules = [importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in paths]
    classes = {one for module in modules for one in vars(module).values() if isinstance(one, type)}
    stages = {one for one in classes if issubclass(one, Stage) and one.__module__.startswith("stages.")}
    bases = {base for one in stages for base in one.__mro__[1:]}
    assert [] == [one for one in stages - bases if one.version is None]
    assert len(stages - bases) > 20
