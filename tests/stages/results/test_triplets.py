"""Triplets out and in: paths of several files, and the file triplets that Kagurazaka writes and reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from captioned import Caption, caption

from hpcurate import FileTask, Task
from hpcurate.errors import ConfigError, PipelineError, StageError
from hpcurate.source import Files, FileTriplets, Groups, GroupTask, Triplets
from hpcurate.source.scan import scan
from hpcurate.testing import try_stage
from stages.files import ExportTriplets

ODD = [b"s/a b.mp4", b"\xff.mp4", b"z\n.mp4"]


def make(folder: Path, names: list[bytes]) -> Path:
    """A folder with these files."""
    for name in names:
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(name)
    return folder


def tasks_of(source: Any) -> list[Any]:
    """What a source has, by name."""
    return sorted((task for _, task, *_ in scan(source).entries()), key=lambda task: task.source)


def rows(path: Path) -> list[dict[str, Any]]:
    """Objects of a JSONL file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def kagurazaka_reads(path: Path) -> list[tuple[str, str, str]]:
    """As `InputFromFileTripletJsonl.generate_tasks` of kagurazaka 0.1.1 does: these three of `input`, line by line."""
    with open(path) as file:
        found = [json.loads(line)["input"] for line in file]
    return [(one["path"], one["rel_dir"], one["file_name"]) for one in found]


def test_files_become_kagurazakas_triplets_and_are_read_back(tmp_path: Path) -> None:
    """The same tasks as those of the folder: under the same ids, whatever their names."""
    folder = make(tmp_path / "in", ODD)
    given, out = tasks_of(Files(str(folder))), tmp_path / "t.jsonl"
    assert [] == try_stage(ExportTriplets(str(out), "triplets"), list(given), tmp_path / "trial").failed
    assert [{"input"}] * 3 == [set(row) for row in rows(out)]
    read = kagurazaka_reads(out)
    assert all(os.path.normpath(os.path.join(folder, rel, name)) == path for path, rel, name in read)
    assert {"s", "."} == {rel for _, rel, _ in read}
    assert given == tasks_of(FileTriplets(str(out)))


def test_what_kagurazaka_writes_is_read(tmp_path: Path) -> None:
    """By `InputMode.to_jsonl`; a missing file is refused by its name, or counted."""
    folder = make(tmp_path / "in", [b"s/a.mp4"])
    triplets = [{"path": str(folder / rel / name), "rel_dir": rel, "file_name": name} for rel, name in (("s", "a.mp4"), (".", "b.mp4"))]  # fmt: skip
    out = tmp_path / "t.jsonl"
    out.write_text("".join(json.dumps({"input": one}) + "\n" for one in triplets))
    with pytest.raises(ConfigError, match=r"t.jsonl:2: .*in/b.mp4: not there; .*source.missing=skip"):
        scan(FileTriplets(str(out)))
    found = scan(FileTriplets(str(out), missing="skip"))
    assert (1, 1) == (found.count, len(found.notes))
    assert "not there: 1 file of the list" in found.notes[0]
    assert tasks_of(Files(str(folder))) == tasks_of(FileTriplets(str(out), missing="skip"))


@pytest.mark.parametrize("line", ['{"input": "a.mp4"}', '{"input": {"path": "a"}}', '{"other": {}}', '{"input": {"path": 1, "rel_dir": "", "file_name": ""}}'])  # fmt: skip
def test_a_line_without_a_triplet_is_refused(tmp_path: Path, line: str) -> None:
    """With its place, and what was expected."""
    (tmp_path / "t.jsonl").write_text(line + "\n")
    with pytest.raises(ConfigError, match=r"t.jsonl:1: expected 'input' with path, rel_dir, file_name"):
        scan(FileTriplets(str(tmp_path / "t.jsonl")))


MEMBERS = {"video": ["mp4"], "audio": ["wav"], "json": ["json"]}


@pytest.mark.parametrize("form", ["paths", "triplets"])
def test_items_of_several_files_are_read_back(tmp_path: Path, form: Any) -> None:
    """In both forms under the same ids: what was joined by stem is the same item."""
    folder = make(tmp_path / "in", [s + e for s in (b"x y", b"\xff", b"s/z") for e in (b".mp4", b".wav", b".json")])
    given, out = tasks_of(Groups(str(folder), MEMBERS)), tmp_path / "t.jsonl"
    try_stage(ExportTriplets(str(out), form), list(given), tmp_path / "trial")
    again = tasks_of(Triplets(str(out), check=True))
    assert [(t.id, t.source, t.files) for t in given] == [(t.id, t.source, t.files) for t in again]
    if form == "triplets":
        assert {"path": str(folder / "s/z.mp4"), "rel_dir": "s", "file_name": "z.mp4"} == rows(out)[0]["video"]


def test_an_item_that_lacks_a_file_is_refused_or_dropped(tmp_path: Path) -> None:
    """By name, or counted; out and in."""
    folder = make(tmp_path / "in", [b"a.mp4", b"a.wav", b"b.mp4", b"b.wav"])
    given = tasks_of(Groups(str(folder), {"video": ["mp4"], "audio": ["wav"]}))
    out = tmp_path / "t.jsonl"
    try_stage(ExportTriplets(str(out)), list(given), tmp_path / "whole")
    (folder / "b.wav").unlink()
    with pytest.raises(StageError, match=r"1 incomplete: 'b' lacks audio; complete them, or missing=skip"):
        ExportTriplets(str(tmp_path / "u.jsonl")).process(list(given))
    trial = try_stage(ExportTriplets(str(tmp_path / "u.jsonl"), missing="skip"), list(given), tmp_path / "trial")
    assert (["a"], ["lacks audio"]) == ([t.source for t in trial.tasks], [row["reason"] for row in trial.dropped])
    assert ["a"] == [row["source"] for row in rows(tmp_path / "u.jsonl")]

    assert 2 == scan(Triplets(str(out))).count
    with pytest.raises(ConfigError, match=r"t.jsonl:2: not there: audio \(.*/b.wav\); .*source.missing=skip"):
        scan(Triplets(str(out), check=True))
    found = scan(Triplets(str(out), check=True, missing="skip"))
    assert (1, "left out: 1 incomplete line, e.g. ") == (found.count, found.notes[0].partition("'")[0])


def test_a_line_that_lacks_a_member_may_be_skipped(tmp_path: Path) -> None:
    """And is counted; where none is complete, that is said."""
    (tmp_path / "t.jsonl").write_text('{"video": "a.mp4", "json": "a.json"}\n{"video": "b.mp4"}\n')
    found = scan(Triplets(str(tmp_path / "t.jsonl"), missing="skip"))
    assert 1 == found.count
    assert "t.jsonl:2 lacks json" in found.notes[0]
    with pytest.raises(ConfigError, match="holds no row that is complete"):
        scan(Triplets(str(tmp_path / "t.jsonl"), members=("video", "sound"), missing="skip"))


def test_files_that_stages_made_are_published(tmp_path: Path) -> None:
    """Of a class of one's own; under the names that were asked for."""
    tasks: list[Task] = [caption(tmp_path, "s/a.mp4", id="7", masks=[])]
    out = tmp_path / "out" / "t.jsonl"
    ExportTriplets(str(out), "triplets", {"image": "thumb"}).process(tasks)
    own = str(tmp_path / "out" / "files" / "7.image.webp")
    assert [{"image": {"path": own, "rel_dir": ".", "file_name": "7.image.webp"}}] == rows(out)
    assert "x/thumb.webp" == Path(own).read_text()


def test_a_list_names_files_wherever_it_was_written_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that is relative, as it is typed, gives absolute paths."""
    monkeypatch.chdir(tmp_path)
    ExportTriplets("out/t.jsonl", members={"image": "thumb"}).process([caption(tmp_path, "a.mp4", id="7")])
    (task,) = tasks_of(Triplets("out/t.jsonl", check=True))
    assert {"image": str(tmp_path / "out/files/7.image.webp")} == task.files


def test_two_items_of_one_name_are_refused(tmp_path: Path) -> None:
    """Both are named: they would be one item when they are read."""
    tasks: list[Task] = [caption(tmp_path, "a.mp4", id=name, masks=[]) for name in "12"]
    with pytest.raises(StageError, match=r"'a.mp4' is what task 1 and task 2 are called; .*name='\{relative\}.\{id\}'"):
        ExportTriplets(str(tmp_path / "t.jsonl")).process(tasks)
    ExportTriplets(str(tmp_path / "t.jsonl"), name="{relative}.{id}").process(tasks)
    assert ["a.mp4.1", "a.mp4.2"] == [row["source"] for row in rows(tmp_path / "t.jsonl")]


@pytest.mark.parametrize(
    ("kind", "members", "said"),
    [
        (Caption, {"image": "picture"}, "a?n? ?.*Caption has no field 'picture'"),
        (Task, None, "Task has no files; name the fields that hold paths"),
        (FileTask, None, ""),
        (GroupTask, {"image": "video"}, ""),
    ],
)
def test_a_class_without_files_is_refused_before_anything_runs(kind: Any, members: Any, said: str) -> None:
    """With its name, and what to type."""
    stage = ExportTriplets("t.jsonl", members=members)
    if not said:
        stage.accept(kind)
        return
    with pytest.raises(PipelineError, match=said):
        stage.accept(kind)
