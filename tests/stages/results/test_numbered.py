"""Numbered folders: as many items as were asked for in each, and none that is there changes when the input grows."""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from snapshot import difference, snapshot

from hpcurate import FileTask, Task
from hpcurate.errors import ConfigError
from hpcurate.source import Files, Groups, Several
from hpcurate.source.scan import scan
from hpcurate.testing import Outcome, try_stage
from stages.results.numbered import Number, WriteNumbered, numbers_in


def files(folder: Path, names: str, size: int = 10) -> list[Any]:
    """Files of one letter each, as a source finds them."""
    (folder / "in").mkdir(exist_ok=True)
    for name in names:
        if not (folder / "in" / f"{name}.bin").exists():
            (folder / "in" / f"{name}.bin").write_text(name * size)
    return [task for _, task, *_ in scan(Files(str(folder / "in"))).entries()]


def number(folder: Path, tasks: list[Any], items: int = 2, size: str = "") -> None:
    """Give the tasks folders."""
    trial = Path(tempfile.mkdtemp(prefix="number-", dir=folder))
    outcome = try_stage(Number(str(folder / "out"), items, size), tasks, trial)
    assert ([], len(tasks)) == (outcome.failed, len(outcome.tasks))
    assert [] != outcome.logged


def write(folder: Path, tasks: list[Any], **how: Any) -> Outcome:
    """Write them into their folders."""
    trial = folder / f"write-{len(list(folder.glob('write-*')))}"
    return try_stage(WriteNumbered(str(folder / "out"), **how), tasks, trial)


def test_items_lie_in_numbered_folders(tmp_path: Path) -> None:
    """In the order of the input; with the input files they are an input themselves, all folders as one."""
    tasks = files(tmp_path, "abcde")
    number(tmp_path, tasks)
    assert [] == write(tmp_path, tasks, input_files=True).failed
    out = tmp_path / "out"
    found = {path.name: sorted(p.name for p in path.iterdir()) for path in out.iterdir() if path.name != "lists"}
    assert {
        "0000": ["a.bin", "a.bin.json", "b.bin", "b.bin.json"],
        "0001": ["c.bin", "c.bin.json", "d.bin", "d.bin.json"],
        "0002": ["e.bin", "e.bin.json"],
    } == found
    assert "aaaaaaaaaa" == (out / "0000" / "a.bin").read_text()
    several = Several({name: Files(str(out / name), extensions=["bin"]) for name in found})
    read = sorted(task.source for _, task, *_ in scan(several).entries())  # type: ignore[attr-defined]
    assert ["0000/a.bin", "0000/b.bin", "0001/c.bin", "0001/d.bin", "0002/e.bin"] == read


def test_growth_changes_no_folder(tmp_path: Path) -> None:
    """What is new gets new folders, wherever it stands in the input; what is no longer there leaves its folder."""
    tasks = files(tmp_path, "bcd")
    number(tmp_path, tasks)
    write(tmp_path, tasks)
    before = snapshot(tmp_path / "out")
    more = [task for task in files(tmp_path, "abcde") if task.source != "c.bin"]
    number(tmp_path, more)
    assert [] == write(tmp_path, more).failed
    changed = {name.partition("/")[0] for name in difference(before, snapshot(tmp_path / "out"))}
    assert {"0002", "lists", "."} >= changed
    assert ["a.bin.json", "e.bin.json"] == sorted(path.name for path in (tmp_path / "out" / "0002").iterdir())
    again = snapshot(tmp_path / "out")
    number(tmp_path, more)
    write(tmp_path, more)
    assert {} == difference(again, snapshot(tmp_path / "out"))


def test_a_folder_has_a_bounded_size(tmp_path: Path) -> None:
    """By the bytes of its items; one that is larger has a folder of its own."""
    tasks = [FileTask(id=name, source=name, path=name, size=size << 20, mtime_ns=1) for name, size in zip("abcd", (3, 3, 1, 9), strict=True)]  # fmt: skip
    number(tmp_path, tasks, items=10, size="5MB")
    assert {"a": 0, "b": 1, "c": 1, "d": 2} == numbers_in(str(tmp_path / "out" / "lists"))


def test_two_that_number_at_once_agree(tmp_path: Path) -> None:
    """Each item has one folder, and each folder no more than it may have."""
    tasks = [Task(id=f"t{n}") for n in range(60)]
    parts = [tasks[:40], tasks[20:], tasks]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda part: number(tmp_path, part, items=7), parts))
    lists = sorted((tmp_path / "out" / "lists").glob("*.jsonl"))
    keys = [json.loads(line)["key"] for path in lists for line in path.read_text().splitlines()]
    assert sorted(keys) == sorted(task.id for task in tasks)
    assert 7 >= max(len(path.read_text().splitlines()) for path in lists)


def test_as_kagurazaka_has_them(tmp_path: Path) -> None:
    """`{base}/{shard_idx}/{input_name}`: no zeros in front, and a folder in each."""
    tasks = files(tmp_path, "abc")
    number(tmp_path, tasks)
    write(tmp_path, tasks, digits=1, inside="videos", input_files=True, layout="folder")
    assert "c" * 10 == (tmp_path / "out" / "1" / "videos" / "c.bin" / "c.bin").read_text()
    assert (tmp_path / "out" / "0" / "videos" / "a.bin" / "record.json").exists()


def test_what_has_no_folder_is_refused(tmp_path: Path) -> None:
    """With the stage that gives it one."""
    tasks = files(tmp_path, "a")
    assert "put Number before" in write(tmp_path, tasks).failed[0]["message"]
    stage = WriteNumbered(str(tmp_path / "out"))
    assert not stage.is_executed(tasks[0])
    number(tmp_path, tasks)
    assert not stage.is_executed(tasks[0])
    write(tmp_path, tasks)
    assert stage.is_executed(tasks[0])
    (failed,) = write(tmp_path, files(tmp_path, "b")[1:]).failed
    assert "put Number before" in failed["message"]


def test_members_of_a_group_lie_together(tmp_path: Path) -> None:
    """Under their own suffixes; one that would be the record is refused, and a folder each has room for it."""
    (tmp_path / "in" / "s").mkdir(parents=True)
    for end in ("mp4", "wav"):
        (tmp_path / "in" / "s" / f"a.{end}").write_text(end)
    (tmp_path / "in" / "s" / "a.json").write_text("{}")
    tasks = [task for _, task, *_ in scan(Groups(str(tmp_path / "in"), {"video": ["mp4"], "audio": ["wav"]})).entries()]
    number(tmp_path, tasks)
    assert [] == write(tmp_path, tasks, input_files=True).failed
    assert ["a.json", "a.mp4", "a.wav"] == sorted(p.name for p in (tmp_path / "out" / "0000" / "s").iterdir())
    groups = Groups(str(tmp_path / "in"), {"video": ["mp4"], "meta": ["json"]})
    tasks = [task for _, task, *_ in scan(groups).entries()]
    (failed,) = write(tmp_path, tasks, input_files=True).failed
    assert "two files that would be '0000/s/a.json'" in failed["message"]
    assert [] == write(tmp_path, tasks, input_files=True, layout="folder").failed


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"output": "s3://bucket/x"}, "expected a folder of a file system"),
        ({"output": "out", "inside": "../x"}, "inside: '../x' is no path below the output"),
        ({"output": "out", "digits": 0}, "digits: expected 1 or more, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(how: dict[str, Any], said: str) -> None:
    """Before anything runs."""
    with pytest.raises(ConfigError, match=said):
        WriteNumbered(**how)
