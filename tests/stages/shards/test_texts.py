"""Rows as Parquet and JSON lines: typed, bounded, the same bytes, and growth that writes no file again."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import attrs
import pyarrow.parquet
import pytest

import stages.shards.numbered as numbered
from hpcurate import File, Task
from hpcurate.errors import StageError
from hpcurate.source.base import RecordTask
from hpcurate.testing import Outcome, try_stage
from stages.output_fields import internal
from stages.shards.texts import TextShards


@attrs.define(kw_only=True)
class Text(Task):
    """A text with fields of several types."""

    text: str
    score: float | None = None
    tags: list[str] = attrs.field(factory=list)
    own: int = attrs.field(default=7, metadata=internal())
    file: File | None = None


def texts(count: int, first: int = 0) -> list[Text]:
    """Of growing length."""
    return [
        Text(id=f"doc/{n}", text=f"text {n} " * (n % 7 + 1), score=n / 3, tags=["a"] * (n % 3))
        for n in range(first, first + count)
    ]


def pack(folder: Path, tasks: list[Any], **more: Any) -> Outcome:
    """Into `folder`, by a stage as it is run."""
    outcome = try_stage(
        TextShards(str(folder), **more), tasks, folder.parent / f"trial-{random.random()}", batch_size=0
    )
    assert not outcome.failed, outcome.failed
    assert {task.id for task in outcome.tasks} == {task.id for task in tasks}
    return outcome


def tree(folder: Path) -> dict[str, bytes]:
    """Path → bytes of all files, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Path → inode and time of data files and their indexes."""
    found = [path for path in folder.rglob("0*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def rows(folder: Path) -> list[dict[str, Any]]:
    """Of all files, in order."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.rglob("*.parquet")):
        found += pyarrow.parquet.read_table(path).to_pylist()
    for path in sorted(folder.rglob("*.jsonl")):
        found += [json.loads(line) for line in path.read_text().splitlines()]
    return found


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_rows_are_typed_bounded_and_shuffled(tmp_path: Path, form: str) -> None:
    """All fields but internal ones and files; ten rows a file; in another order than they came."""
    pack(tmp_path / "out", texts(25), format=form, samples=10)
    found = rows(tmp_path / "out")
    given = {one.id: {"id": one.id, "text": one.text, "score": one.score, "tags": one.tags} for one in texts(25)}
    assert {row["id"]: row for row in found} == given
    assert [row["id"] for row in found] != list(given)
    names = [f"{number:06d}.{end}" for number in range(3) for end in ("index", form)]
    assert sorted(tree(tmp_path / "out")) == [*names, "settings.json", "wids.json"]
    listed = json.loads((tmp_path / "out" / "wids.json").read_text())["shardlist"]
    assert [(one["url"], one["nsamples"]) for one in listed] == [
        (f"000000.{form}", 10), (f"000001.{form}", 10), (f"000002.{form}", 5)
    ]  # fmt: skip


def test_columns_have_the_types_of_the_class(tmp_path: Path) -> None:
    """Also where a file has nothing but nulls."""
    pack(tmp_path / "out", [Text(id="a", text="b")])
    schema = pyarrow.parquet.read_schema(tmp_path / "out" / "000000.parquet")
    assert [(field.name, str(field.type)) for field in schema] == [
        ("id", "string"), ("text", "string"), ("score", "double"), ("tags", "list<element: string>")
    ]  # fmt: skip


def test_rows_of_a_table_without_a_class_are_packed_as_json(tmp_path: Path) -> None:
    """What a JSONL source gives."""
    pack(tmp_path / "out", [RecordTask(id="1", data={"text": "x", "n": [1, None]})])
    assert json.loads(rows(tmp_path / "out")[0]["data"]) == {"text": "x", "n": [1, None]}


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """In whatever order it comes, in parts or not."""
    mixed = random.Random(1).sample(texts(40), 40)
    for folder, tasks in (("a", texts(40)), ("b", mixed)):
        pack(tmp_path / folder, tasks, parts=3, samples=4)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert {path.name for path in (tmp_path / "a").iterdir() if path.is_dir()} == {
        f"part-000{number}-of-0003" for number in range(3)
    }


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_growth_adds_files_and_writes_none_again(tmp_path: Path, form: str) -> None:
    """Neither data nor index; each row once; nothing new adds nothing; what is gone is counted and stays."""
    out = tmp_path / "out"
    pack(out, texts(25), format=form, samples=10)
    before, old = stamps(out), tree(out)
    grown = pack(out, texts(32), format=form, samples=10)
    assert before.items() <= stamps(out).items()
    assert sorted(stamps(out).keys() - before.keys()) == [f"000003.{end}" for end in ("index", form)]
    assert {
        name: data for name, data in tree(out).items() if name in old and name != "wids.json"
    }.items() <= old.items()
    assert sorted(row["id"] for row in rows(out)) == sorted(one.id for one in texts(32))
    assert logged(grown) == {"folder": "", "files": 4, "added": 1, "samples": 32, "left_over": 0}
    again = stamps(out)
    fewer = pack(out, texts(30), format=form, samples=10)
    assert logged(fewer) == {"folder": "", "files": 4, "added": 0, "samples": 32, "left_over": 2}
    assert stamps(out) == again


def logged(outcome: Outcome) -> dict[str, Any]:
    """What the stage said of its only folder, without bytes."""
    (row,) = [row for one in outcome.logged for row in one["value"]]
    return {name: value for name, value in row.items() if name != "bytes"}


def test_other_settings_and_other_fields_are_refused(tmp_path: Path) -> None:
    """With the name of the setting, and what to do; what is packed may be kept."""
    out = tmp_path / "out"
    pack(out, texts(5))
    before = tree(out)
    other = try_stage(TextShards(str(out), seed=1), texts(5), tmp_path / "seed", batch_size=0)
    assert "begun with seed=0, and now it is 1: name another folder" in other.failed[0]["message"]
    edited = [attrs.evolve(one, text="other") for one in texts(5)]
    refused = try_stage(TextShards(str(out)), edited, tmp_path / "text", batch_size=0)
    assert "were packed with other fields or members" in refused.failed[0]["message"]
    assert "changed=keep" in refused.failed[0]["message"]
    pack(out, edited, changed="keep")
    assert tree(out) == before


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    """A reader would take them for one."""
    with pytest.raises(StageError, match="two tasks are called"):
        TextShards(str(tmp_path / "out")).process_group("all", [*texts(2), *texts(1)])


# -- attempts that are killed, and two at a time ----------------------------------------------------


def test_killed_between_a_file_and_its_index(tmp_path: Path) -> None:
    """The file stays as it is, its index is made; the tree is that of an attempt that was not killed."""
    for folder in ("whole", "killed"):
        pack(tmp_path / folder, texts(25), samples=10)
    out = tmp_path / "killed"
    kept = (out / "000001.parquet").stat().st_ino
    for name in ("000001.index", "000002.parquet", "000002.index", "wids.json"):
        (out / name).unlink()
    (out / ".000001.parquet.left").write_bytes(b"half")
    (out / ".000002.parquet.left").write_bytes(b"half")
    pack(out, texts(25), samples=10)
    assert tree(out) == tree(tmp_path / "whole")
    assert (out / "000001.parquet").stat().st_ino == kept


def test_a_filesystem_without_links_is_packed_into_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By renaming; growth as elsewhere."""
    pack(tmp_path / "linked", texts(12), samples=5)

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    pack(tmp_path / "renamed", texts(12), samples=5)
    assert tree(tmp_path / "renamed") == tree(tmp_path / "linked")
    pack(tmp_path / "renamed", texts(14), samples=5)
    assert len(rows(tmp_path / "renamed")) == 14


def test_a_number_that_another_took_meanwhile_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that was given up packs its rows while this one writes a file: each row is in one file alone."""
    out, taken = tmp_path / "out", numbered._named

    def named(temporary: str, path: str) -> bool:
        monkeypatch.setattr(numbered, "_named", taken)
        pack(out, texts(12), samples=5)
        return numbered._named(temporary, path)

    monkeypatch.setattr(numbered, "_named", named)
    pack(out, texts(20), samples=5)
    assert sorted(row["id"] for row in rows(out)) == sorted(one.id for one in texts(20))
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    listed = json.loads((out / "wids.json").read_text())["shardlist"]
    assert sum(one["nsamples"] for one in listed) == 20


def _pack_some(folder: str, count: int, number: int) -> None:
    os.chdir(folder)
    outcome = try_stage(
        TextShards(f"{folder}/out", samples=3, format="jsonl"), texts(count), f"{folder}/trial-{number}", batch_size=0
    )
    assert not outcome.failed, outcome.failed


def test_several_at_a_time_pack_each_row_once(tmp_path: Path) -> None:
    """Four processes with parts of the input that overlap, all at once."""
    context = multiprocessing.get_context("fork")
    counts = (20, 40, 60, 80)
    packers = [context.Process(target=_pack_some, args=(str(tmp_path), count, count)) for count in counts]
    for packer in packers:
        packer.start()
    for packer in packers:
        packer.join()
    assert [packer.exitcode for packer in packers] == [0] * 4
    assert sorted(row["id"] for row in rows(tmp_path / "out")) == sorted(one.id for one in texts(80))
    listed = json.loads((tmp_path / "out" / "wids.json").read_text())["shardlist"]
    assert sum(one["nsamples"] for one in listed) == 80


@pytest.mark.long
def test_fifty_kills_leave_the_tree_of_an_undisturbed_run(tmp_path: Path) -> None:
    """At any moment, two packers at a time in half of the rounds, with more rows in each."""
    context, chance = multiprocessing.get_context("fork"), random.Random(7)
    (tmp_path / "killed").mkdir()
    for number in range(50):
        count = 100 + 10 * (number // 10)
        packers = [
            context.Process(target=_pack_some, args=(str(tmp_path / "killed"), count, 10 * number + k))
            for k in range(1 + number % 2)
        ]
        for packer in packers:
            packer.start()
        time.sleep(chance.uniform(0, 0.5))
        for packer in packers:
            packer.kill()
            packer.join()
    _pack_some(str(tmp_path / "killed"), 150, 9999)
    found = rows(tmp_path / "killed" / "out")
    assert sorted(row["id"] for row in found) == sorted(one.id for one in texts(150))
    assert [path for path in (tmp_path / "killed" / "out").rglob(".*") if path.is_file()] == []


def test_datasets_reads_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library of Hugging Face, offline."""
    pytest.importorskip("datasets")
    pack(tmp_path / "out", texts(25), samples=10)
    pack(tmp_path / "lines", texts(25), samples=10, format="jsonl")
    import datasets

    for name, kind, ending in (("out", "parquet", "parquet"), ("lines", "json", "jsonl")):
        files = str(tmp_path / name / f"*.{ending}")
        found = datasets.load_dataset(kind, data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
        assert sorted(found["text"]) == sorted(one.text for one in texts(25))
        assert dict(zip(found["id"], found["score"])) == {one.id: one.score for one in texts(25)}
