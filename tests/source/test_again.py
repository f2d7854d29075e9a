"""Results that lie among the inputs are noticed before they become inputs themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hpcurate import Task
from hpcurate.source import Exclude, Files, Items, Several, Source, Undone
from hpcurate.source.again import taken_again

Make = Callable[[str], Source]


def beside(folder: Path) -> Callable[[str], Sequence[str]]:
    """A JSON for each item."""
    return lambda item: [f"{folder}/{item}.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With one input in a folder."""
    (tmp_path / "in" / "s").mkdir(parents=True)
    (tmp_path / "in" / "s" / "a.mp4").touch()
    return tmp_path / "in"


TAKEN: list[tuple[str, Make]] = [
    ("all", Files),
    ("its extension", lambda path: Files(path, extensions=["mp4", "JSON"])),
    ("a glob", lambda path: Files(f"{path}/**/*")),
    ("not excluded", lambda path: Exclude(Files(path), "*.txt")),
    ("not done", lambda path: Undone(Files(path), "/nowhere/{relative}")),
]
LEFT: list[tuple[str, Make]] = [
    ("extensions", lambda path: Files(path, extensions=["mp4"])),
    ("a glob", lambda path: Files(f"{path}/**/*.mp4")),
    ("excluded", lambda path: Exclude(Files(path), "*.mp4.json")),
    ("excluded below", lambda path: Undone(Exclude(Files(path), ["s/*.json"]), "/nowhere/{relative}")),
    ("elsewhere", lambda path: Files(f"{path}/s", extensions=["mp4"])),
    ("no folder", lambda path: Files(f"{path}/nothing")),
    ("no files", lambda path: Items([Task(id="a")])),
]


@pytest.mark.parametrize("make", [make for _, make in TAKEN], ids=[name for name, _ in TAKEN])
def test_what_would_be_taken_is_named(folder: Path, make: Make) -> None:
    """Whatever wraps the source of files."""
    assert f"{folder}/s/a.mp4.json" == taken_again(make(str(folder)), beside(folder))


@pytest.mark.parametrize("make", [make for _, make in LEFT], ids=[name for name, _ in LEFT])
def test_what_would_be_left_is_no_matter(folder: Path, make: Make) -> None:
    """By its extension, an exclusion, or where it lies."""
    assert taken_again(make(str(folder)), beside(folder)) is None


def test_of_several_inputs_each_is_looked_at(folder: Path, tmp_path: Path) -> None:
    """By their names, in which an output of all may lie."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.bin").touch()
    several = Several({"s": Files(str(folder / "s")), "other": Files(str(tmp_path / "other"))})
    assert f"{folder}/s/a.mp4.json" == taken_again(several, beside(folder))
    assert taken_again(several, beside(tmp_path / "out")) is None
    assert taken_again(Exclude(several, "*.json"), beside(folder)) is None


def test_an_output_that_a_link_leads_into_the_input_is_in_it(folder: Path, tmp_path: Path) -> None:
    """Hidden folders are not read, so what lies there is no input."""
    (tmp_path / "link").symlink_to(folder)
    assert f"{tmp_path}/link/s/a.mp4.json" == taken_again(Files(str(folder)), beside(tmp_path / "link"))
    assert taken_again(Files(str(folder)), beside(folder / ".out")) is None
    assert taken_again(Files(str(folder)), lambda item: [f"{folder}/{item}"]) is None
    assert taken_again(Files(str(folder)), lambda item: []) is None
