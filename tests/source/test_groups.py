"""Items of several files: joined by stem, in one folder or over several."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from hpcurate.cli.start.inputs import read_source
from hpcurate.errors import ConfigError
from hpcurate.source import Groups
from hpcurate.source.scan import scan

MEMBERS = {"video": ["mp4", "mkv"], "caption": ["mp4.json", "json"], "audio": ["wav"]}


def make(folder: Path, *names: str) -> Path:
    """A folder with these files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def apart(tmp_path: Path) -> Groups:
    """Videos and sound in one folder, captions in another."""
    make(tmp_path / "v", "a.mp4", "a.wav", "a/b.mkv", "a/b.WAV", "a-b.mp4", "a-b.wav", "note.json")
    make(tmp_path / "c", "a.json", "a/b.mp4.json", "a-b.json", "readme.mp4")
    return Groups(str(tmp_path / "v"), MEMBERS, folders={"caption": str(tmp_path / "c")})


def joined(source: Groups) -> dict[str, dict[str, str]]:
    """Stem → member → path below both folders."""
    tasks: list[Any] = [entry.task for entry in scan(source).entries()]
    root = Path(source.path).parent
    return {t.source: {name: str(Path(path).relative_to(root)) for name, path in t.files.items()} for t in tasks}


def test_stems_are_joined_over_folders(apart: Groups) -> None:
    """By their relative paths, sorted; a folder has only its own members."""
    found = joined(apart)
    assert found == {
        "a": {"video": "v/a.mp4", "caption": "c/a.json", "audio": "v/a.wav"},
        "a-b": {"video": "v/a-b.mp4", "caption": "c/a-b.json", "audio": "v/a-b.wav"},
        "a/b": {"video": "v/a/b.mkv", "caption": "c/a/b.mp4.json", "audio": "v/a/b.WAV"},
    }
    assert sorted(found) == list(found)


def test_a_member_that_is_missing_in_either_folder(apart: Groups) -> None:
    """Is refused by name, or counted."""
    root = Path(apart.path).parent
    make(root / "c", "x/only.json")
    (root / "c" / "a.json").unlink()
    with pytest.raises(ConfigError, match=r"incomplete: 2 items: 'a lacks caption'; 'x/only lacks video, audio'"):
        scan(apart)
    found = scan(Groups(apart.path, MEMBERS, folders=apart.folders, missing="skip"))
    assert (2, ("2 incomplete items left out, e.g. 'a lacks caption'",)) == (found.count, found.notes)


def test_what_makes_the_source(apart: Groups, tmp_path: Path) -> None:
    """The folders of members are part of it; one folder is what it always was."""
    assert {"groups", "members"} == Groups(apart.path, MEMBERS).identity().keys()
    assert apart.identity()["folders"] == {"caption": str(tmp_path / "c")}
    one = Groups(apart.path, {"video": ["mp4"]}, folders={"video": apart.path})
    with pytest.raises(ConfigError, match=r"source.folders.captoin: no such member; did you mean 'caption'"):
        read_source(
            {"_target_": "hpcurate.source.Groups", "path": apart.path, "members": MEMBERS, "folders": {"captoin": "/c"}}
        )
    assert ["a", "a-b"] == list(joined(one))


@pytest.mark.parametrize("seed", range(8))
def test_over_many_folders_it_is_what_one_folder_gives(tmp_path: Path, seed: int) -> None:
    """Whatever the names: the same items in the same order."""
    draw = random.Random(seed)
    letters = "ab-._ \u00fc"
    stems = {"/".join("".join(draw.choices(letters, k=2)) + "x" for _ in range(draw.randint(1, 3))) for _ in range(12)}
    stems = {stem for stem in stems if not any(part.startswith(".") for part in stem.split("/"))}
    ends = {"video": "mp4", "caption": "json", "audio": "wav"}
    for stem in stems:
        for member, end in ends.items():
            make(tmp_path / "one", f"{stem}.{end}")
            make(tmp_path / member, f"{stem}.{end}")
    members = {member: [end] for member, end in ends.items()}
    folders = {member: str(tmp_path / member) for member in ("caption", "audio")}
    one = [(e.name, sorted(e.task.files)) for e in scan(Groups(str(tmp_path / "one"), members)).entries()]  # type: ignore[attr-defined]
    apart = [
        (e.name, sorted(e.task.files))
        for e in scan(Groups(str(tmp_path / "video"), members, folders=folders)).entries()
    ]  # type: ignore[attr-defined]
    assert one == apart
    assert sorted(stems) == [name for name, _ in apart]
