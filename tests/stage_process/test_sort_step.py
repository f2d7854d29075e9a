"""The sort step: what it writes is whole, or its attempt fails."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcurate import GroupStage, Task
from hpcurate.errors import StoreFailed
from hpcurate.group import SortRows, place_of
from hpcurate.members import resolve_types
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.sort_step import SortRunner
from hpcurate.store.files import REAL, Files
from hpcurate.store.order import ORDER_FILE, Order, Starts, bucket_of


class LosesItsEnd(io.BytesIO):
    """A file of which only a part arrives in the store."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def close(self) -> None:
        """Without the last bytes."""
        if not self.closed:
            Path(self.path).write_bytes(self.getvalue()[:-3])
        super().close()


def job(folder: Path, ids: list[str]) -> ShardJob:
    """A shard with rows of these ids."""
    rows = folder / "in.jsonl"
    rows.write_text("".join(f'{{"id":"{name}","weight":2.0}}\n' for name in ids))
    (folder / "out").mkdir()
    return ShardJob(
        shard="s",
        directory=str(folder / "out"),
        ref="s",
        root=str(folder),
        inputs=[(str(rows), 0, len(ids))],
        batch_size=9,
    )


def test_rows_are_sorted_and_found_by_their_order(tmp_path: Path) -> None:
    """By hash and key; the order says where the rows of each bucket begin, and what they weigh."""
    ids = [f"t{n % 30}" for n in range(90)]
    counts = SortRunner(SortRows()).run(job(tmp_path, ids))
    data = (tmp_path / "out/tasks.jsonl").read_bytes()
    found = [line.split(b'"')[3].decode() for line in data.splitlines()]
    assert sorted(ids, key=place_of) == found
    order = Order.from_json((tmp_path / "out" / ORDER_FILE).read_bytes())
    assert (90, 180.0, 180.0) == (sum(order.rows), sum(order.weights), counts.weight_out)
    for bucket in {bucket_of(place_of(name)[0]) for name in ids}:
        row, offset = Starts(order).at(bucket)
        assert data.splitlines(keepends=True)[row] == data[offset:].splitlines(keepends=True)[0]
        assert bucket == bucket_of(place_of(found[row])[0])


def test_an_order_that_lost_its_end_is_the_stores_failure(tmp_path: Path) -> None:
    """Else the shard would be committed, and no list could ever be made from it."""

    def opened(path: str, mode: str) -> Any:
        return LosesItsEnd(path) if path.endswith(ORDER_FILE) else REAL.open(path, mode)

    with pytest.raises(StoreFailed, match=r"order\.json has \d+ bytes, \d+ were written"):
        SortRunner(SortRows(), files=Files(opened, REAL.size, REAL.append)).run(job(tmp_path, ["a", "b"]))


def test_a_row_is_noted_before_its_key_is_made(tmp_path: Path) -> None:
    """While a culprit is sought: the whole job may be killed, and only the note says by which row."""
    note = tmp_path / "note"
    seen: list[list[str]] = []

    class Notes(GroupStage[Task, Task]):
        def key(self, task: Task) -> str:
            seen.append(note.read_text().splitlines())
            return task.id

    stage = SortRows(grouped=Notes())
    resolve_types(stage, Task)
    SortRunner(stage).run(msgspec.structs.replace(job(tmp_path, ["a", "b"]), isolate=True, note=str(note)))
    lines = ["null", '{"row": 0, "task": "a"}', '{"row": 1, "task": "b"}', "{}"]
    assert [lines[:2], lines[:3]] == seen
    assert lines == note.read_text().splitlines()
