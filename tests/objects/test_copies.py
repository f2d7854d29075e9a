"""What a stage is given of objects: copies on its node, once each, while its shard needs them."""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import attrs
import pytest
from fragile import Fragile, fragile
from object_server import Bucket
from object_stages import Publish, ReadFile, ReadFiles

from hpcurate import FileTask, Stage, Task
from hpcurate.errors import StoreFailed
from hpcurate.objects.address import Seen
from hpcurate.objects.client import BLOCK, Objects, Unwanted
from hpcurate.source import Files, GroupTask
from hpcurate.stage_process.remote_inputs import LONGEST_NAME, Copies, local_name, source_fields
from hpcurate.testing import Outcome, try_stage


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The node's own disk, as far as this test goes."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Fragile]:
    """A disk of its own, which can be filled."""
    (tmp_path / "disk").mkdir()
    with fragile(tmp_path / "disk") as disk:
        yield disk


def left(scratch: Path) -> list[Path]:
    """Files on the node."""
    return [path for path in scratch.rglob("*") if path.is_file()]


def listed(bucket: Bucket, prefix: str = "in") -> list[FileTask]:
    """Its objects as tasks."""
    return list(Files(path=f"s3://{bucket.name}/{prefix}").tasks())


def errors(outcome: Outcome) -> dict[str, str]:
    """Source of each dead letter → what it says."""
    return {row["task"]["source"]: f"{row['error']}: {row['message']}" for row in outcome.failed}


def test_an_item_that_fails_names_its_object_and_the_others_pass(bucket: Bucket, tmp_path: Path, scratch: Path) -> None:
    """No name of this node is in any row; nothing stays there."""
    for name, data in {"a": b"1", "bad": b"bad", "changed": b"22", "gone": b"1", "z": b"3"}.items():
        bucket.put(f"in/{name}", data)
    tasks = listed(bucket)
    bucket.put("in/changed", b"33")
    bucket.through.call("x", "delete_object", Bucket=bucket.name, Key="in/gone")
    outcome = try_stage(ReadFiles(), tasks, tmp_path / "trial", batch_size=2)
    assert ["a", "z"] == [task.source for task in outcome.tasks]
    assert f"s3://{bucket.name}/in/a" == outcome.tasks[0].path
    assert {"bad", "changed", "gone"} == errors(outcome).keys()
    assert f"ValueError: s3://{bucket.name}/in/bad: is bad" == errors(outcome)["bad"]
    assert errors(outcome)["changed"].startswith(f"HasChanged: s3://{bucket.name}/in/changed: was written again")
    assert errors(outcome)["gone"].startswith(f"FileNotFoundError: reading s3://{bucket.name}/in/gone")
    rows = b"".join(path.read_bytes() for path in (tmp_path / "trial").rglob("*.jsonl"))
    assert os.fsencode(scratch) not in rows
    assert [] == left(scratch)


def test_a_bucket_that_stays_busy_ends_the_attempt_and_blames_no_item(bucket: Bucket, tmp_path: Path) -> None:
    """The shard is tried again later, as where the store fails."""
    bucket.put("in/a", b"1")
    tasks = listed(bucket)
    bucket.proxy.busy = 1
    with pytest.raises(StoreFailed, match=f"reading s3://{bucket.name}/in/a: SlowDown"):
        try_stage(ReadFiles(), tasks, tmp_path / "trial")


@attrs.define(kw_only=True)
class Piece(FileTask):
    """A part of a file."""

    number: int


class ReadPieces(Stage[Piece, Piece]):
    """Looks where its pieces are."""

    version = 1

    def __init__(self, suffix: str = "") -> None:
        self.suffix = suffix

    def process(self, tasks: list[Piece]) -> list[Piece]:
        """The path with something behind it."""
        for task in tasks:
            assert os.path.exists(task.path)
            task.path += self.suffix
        return tasks


def pieces(bucket: Bucket, count: int) -> list[Piece]:
    """Of one object."""
    [file] = listed(bucket)
    given = {name: value for name, value in attrs.asdict(file).items() if name != "id"}
    return [Piece(id=f"p{n}", number=n, **given) for n in range(count)]


class Held(Objects):
    """Waits before it reads the first object."""

    def __init__(self) -> None:
        super().__init__(pauses=(0.01,) * 8)
        self.asked, self.go_on = threading.Event(), threading.Event()

    def copy(self, *given: Any, **more: Any) -> Seen:
        """As long as it is told to."""
        if not self.asked.is_set():
            self.asked.set()
            assert self.go_on.wait(60)
        return super().copy(*given, **more)


@pytest.mark.parametrize("shard", ["again", ""])
def test_a_copy_for_a_shard_that_has_ended_takes_away_no_other(bucket: Bucket, scratch: Path, shard: str) -> None:
    """A shard is handed back while an object is on its way, and the same process tries it again."""
    bucket.put("in/a.bin", b"1" * 3 * BLOCK)
    held, address = Held(), str(bucket.at("in/a.bin"))
    copies = Copies(str(scratch), held)
    with ThreadPoolExecutor(2) as pool:
        copies.begin("first")
        first = pool.submit(copies.get, address, "first")
        assert held.asked.wait(60)
        copies.end("first")
        if shard:
            copies.begin(shard)
        again = pool.submit(copies.get, address, shard or "first")
        held.go_on.set()
        if shard:
            path = Path(again.result(60))
            wait([first], 60)
            assert 3 * BLOCK == path.stat().st_size
            copies.end(shard)
        else:
            with pytest.raises(Unwanted):
                first.result(60)
    assert [] == left(scratch)
    copies.close()


def test_an_object_that_several_items_need_is_read_once(bucket: Bucket, tmp_path: Path) -> None:
    """Clips of one video, in several batches of a shard."""
    bucket.put("in/a.bin", b"1")
    assert 5 == len(try_stage(ReadPieces(), pieces(bucket, 5), tmp_path / "trial", batch_size=2).tasks)
    assert 1 == len(bucket.proxy.gets("a.bin"))


@pytest.mark.parametrize("suffix", [".json", "/x", "-clip"])
def test_a_row_that_names_a_file_beside_a_copy_is_refused(bucket: Bucket, tmp_path: Path, suffix: str) -> None:
    """It would be gone with the shard."""
    bucket.put("in/a.bin", b"1")
    outcome = try_stage(ReadPieces(suffix), pieces(bucket, 1), tmp_path / "trial")
    assert "StageError" == outcome.failed[0]["error"]
    assert "self.file(task, name)" in outcome.failed[0]["message"]


def test_a_stage_that_opens_nothing_of_the_source_is_given_addresses(bucket: Bucket, tmp_path: Path) -> None:
    """And nothing is read for it."""

    class Looks(Stage[ReadFile, ReadFile]):
        version = 1
        source_files = ()

        def process(self, tasks: list[ReadFile]) -> list[ReadFile]:
            for task in tasks:
                task.note = task.path
            return tasks

    task = ReadFile(id="1", source="a", path=f"s3://{bucket.name}/in/a", size=1, mtime_ns=0)
    [looked] = try_stage(Looks(), [task], tmp_path / "trial").tasks
    assert f"s3://{bucket.name}/in/a" == looked.note
    assert [] == bucket.proxy.gets("in/a")


class Members(Stage[GroupTask, GroupTask]):
    """Opens all members of an item."""

    version = 1

    def process(self, tasks: list[GroupTask]) -> list[GroupTask]:
        """They are there."""
        for task in tasks:
            assert all(map(os.path.exists, task.files.values())), task.files
        return tasks


def test_all_members_of_an_item_come(bucket: Bucket, tmp_path: Path) -> None:
    """Those that lie on disk stay where they are."""
    bucket.put("x/a.mp4", b"1")
    (tmp_path / "a.json").write_bytes(b"1")
    files = {"video": f"s3://{bucket.name}/x/a.mp4", "meta": str(tmp_path / "a.json")}
    task = GroupTask(id="1", source="a", files=dict(files))
    [passed] = try_stage(Members(), [task], tmp_path / "trial").tasks
    assert files == passed.files


def test_which_fields_a_stage_opens() -> None:
    """Those of the class that it is declared to take, or what it says."""

    class Anything(Stage[Task, Task]):
        version = 1

    assert [("path",), ("path",), ("files",), (), ()] == [
        source_fields(stage) for stage in (ReadFiles(), ReadPieces(), Members(), Publish(output="x"), Anything())
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b.mp4", "b.mp4"),
        ("a/ü \U0001f600.mp4", "ü \U0001f600.mp4"),
        ('a/x"y\\z\n.mp4', "x_y_z_.mp4"),
        ("..", "_.."),
        ("a/", "a"),
        ("", "object"),
        ("a/" + "x" * 300 + ".mp4", "x" * (LONGEST_NAME - 4) + ".mp4"),
    ],
)
def test_a_copy_is_called_as_its_object(key: str, expected: str) -> None:
    """As far as a file system, and a row, have such names."""
    assert expected == local_name(key)


def test_an_object_goes_with_the_last_shard_that_needs_it(bucket: Bucket, scratch: Path) -> None:
    """The next shard's first batches come while this one is in work."""
    bucket.put("a", b"1")
    copies = Copies(str(scratch), bucket.through)
    for shard in ("one", "two"):
        copies.begin(shard)
        copies.get(str(bucket.at("a")), shard)
    copies.end("one")
    assert ["a"] == [path.name for path in left(scratch)]
    copies.end("two")
    assert [] == left(scratch)
    assert 1 == len(bucket.proxy.gets("/a"))


def test_an_object_that_nobody_needs_any_more_is_not_read_to_its_end(
    bucket: Bucket, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that leaves does not wait for it."""
    bucket.put("a", os.urandom(3 * BLOCK))
    copies = Copies(str(scratch), bucket.through)
    copies.begin("s")
    read, blocks = bucket.through.read, []

    def leaves(body: object) -> bytes:
        blocks.append(read(body))
        copies.close()
        return blocks[-1]

    monkeypatch.setattr(bucket.through, "read", leaves)
    with pytest.raises(Unwanted):
        copies.get(str(bucket.at("a")), "s")
    assert 1 == len(blocks)
    assert [] == left(scratch)
    with pytest.raises(Unwanted):
        copies.get(str(bucket.at("a")), "s")


@pytest.mark.parametrize("kind", ["full", "no inodes", "read-only"])
def test_a_node_without_room_is_no_fault_of_the_item(
    bucket: Bucket, tmp_path: Path, small_disk: Fragile, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The shard is handed back, with the name of the place."""
    bucket.put("in/a", os.urandom(200_000))
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk.store))
    try_stage(ReadFiles(), listed(bucket), tmp_path / "first")
    with small_disk.trouble(kind), pytest.raises(StoreFailed, match=re.escape(str(small_disk.store))):
        try_stage(ReadFiles(), listed(bucket), tmp_path / "trial")


def test_rows_are_restored_also_where_a_path_is_part_of_a_sentence(bucket: Bucket, scratch: Path) -> None:
    """An error message that a task keeps."""
    bucket.put("a.mp4", b"1")
    copies = Copies(str(scratch), bucket.through)
    copies.begin("s")
    path, address = copies.get(str(bucket.at("a.mp4")), "s"), str(bucket.at("a.mp4"))
    text = {"path": path, "note": f"cannot read {path}. Or: '{path}': {path}"}
    expected = {"path": address, "note": f"cannot read {address}. Or: '{address}': {address}"}
    assert expected == json.loads(copies.restored(json.dumps(text).encode()))
    inside = json.dumps({"path": f"subfile,,start,1,start,0,end,2,,:{path}"}).encode()
    with pytest.raises(Exception, match="beside or inside"):
        copies.restored(inside)
