"""Whole groups in one call: in order, in bounded memory, and failing as one."""

from __future__ import annotations

import datetime
import enum
import random
import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from group_stages import Labelled, Sum
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcurate import Chain, GroupStage, Stage, Task, WorkerInfo
from hpcurate.errors import PipelineError, StageError, StoreFailed
from hpcurate.failures import Blame, FailureKind
from hpcurate.group import place_of, shown
from hpcurate.planning.build import Step, build
from hpcurate.planning.ranges import hash_ranges
from hpcurate.planning.slicing import Slicing
from hpcurate.source import Items
from hpcurate.stage_process.keys import keys_of as keys_of_rows
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.output import give_up
from hpcurate.stage_process.sorter import Row, Sorter
from hpcurate.store.order import BUCKETS, Order, OrderInWork, Starts, bucket_of
from hpcurate.store.rows import codec
from hpcurate.testing import try_stage


class Groups(GroupStage[Labelled, Sum]):
    """Notes which groups each call of `process` is given, and fails on some."""

    version = 1
    group_by = "label"

    def __init__(self, fails: Sequence[str] = (), most: int = 1_000_000) -> None:
        self.fails, self.calls, self.group_most = fails, list[list[str]](), most  # type: ignore[misc]

    def process(self, tasks: list[Labelled]) -> list[Sum]:
        """As any."""
        self.calls.append(list(dict.fromkeys(task.label for task in tasks)))
        return super().process(tasks)

    def process_group(self, key: str, tasks: list[Labelled]) -> list[Sum]:
        """One for each."""
        if key in self.fails:
            raise ValueError(key)
        return [self.child(tasks, Sum, key=key, values=[task.value for task in tasks])]


def labelled(labels: str) -> list[Labelled]:
    """One task for each letter."""
    return [Labelled(id=f"n{n}", label=label, value=n) for n, label in enumerate(labels)]


def in_order(labels: str) -> list[str]:
    """Keys in the order of all keys."""
    return sorted(set(labels), key=place_of)


@pytest.mark.parametrize("size", [0, 1, 2, 100])
def test_a_call_is_given_whole_groups_only(tmp_path: Path, size: int) -> None:
    """In the order of all keys, so many at most; 0: as many as there are. A group is in input order."""
    stage, labels = Groups(), "cabcabbcd"
    outcome = try_stage(stage, labelled(labels), tmp_path, batch_size=size)
    keys = in_order(labels)
    assert stage.calls == [keys[at : at + (size or 9)] for at in range(0, len(keys), size or 9)]
    assert keys == [row.key for row in outcome.tasks]
    assert {key: [n for n, label in enumerate(labels) if label == key] for key in keys} == {
        row.key: row.values for row in outcome.tasks
    }


def test_a_group_that_fails_is_tried_by_itself_and_fails_as_one(tmp_path: Path) -> None:
    """Its tasks are dead letters, those of the other groups are not."""
    stage = Groups(fails="b")
    outcome = try_stage(stage, labelled("abcabc"), tmp_path)
    keys = in_order("abc")
    assert stage.calls == [keys, *[[key] for key in keys]]
    assert [1, 4] == [row["task"]["value"] for row in outcome.failed]
    assert (3, 1) == (outcome.counts.groups_in, outcome.counts.groups_failed)
    assert (6, 4, 2) == (outcome.counts.tasks_in, outcome.counts.passed, outcome.counts.failed)


def test_a_group_that_is_too_large_is_dead_letters_untried(tmp_path: Path) -> None:
    """Counted once as a group, however many batches it makes."""
    stage = Groups(most=3)
    outcome = try_stage(stage, labelled("a" * 2500 + "bbb"), tmp_path)
    assert [["b"]] == stage.calls
    assert 2500 == len(outcome.failed)
    assert {"the group 'a' has more than 3 tasks (group_most)"} == {row["message"] for row in outcome.failed}
    assert (2, 1) == (outcome.counts.groups_in, outcome.counts.groups_failed)


class Halves(Groups):
    """Keeps every second of a group, drops some, and loses the rest."""

    def process_group(self, key: str, tasks: list[Labelled]) -> list[Any]:
        """As said."""
        for task in tasks[1::4]:
            self.drop(task, "odd", value=key)
        return [self.child(task, Sum, key=key, values=[task.value]) for task in tasks[::2]]


def test_what_a_group_loses_is_on_record(tmp_path: Path) -> None:
    """Every task is passed on, dropped or lost."""
    outcome = try_stage(Halves(), labelled("abcde" * 8), tmp_path)
    counts = outcome.counts
    assert (40, 20, 20, 10) == (counts.tasks_in, counts.passed, counts.dropped, counts.not_returned)
    assert {"odd": 10, "not returned": 10} == counts.reasons


class WithFile(Groups):
    """Writes a file for each group."""

    def process_group(self, key: str, tasks: list[Labelled]) -> list[Sum]:
        """Named by its child."""
        [made] = super().process_group(key, tasks)
        with open(self.file(made, "note.txt"), "w") as file:
            file.write(key)
        return [made]


def test_ids_of_children_depend_on_their_group_alone(tmp_path: Path) -> None:
    """Not on what else is in the shard, nor on the size of a batch; each may have files."""
    few = try_stage(WithFile(), labelled("aba"), tmp_path / "few")
    more = try_stage(WithFile(), labelled("abacd"), tmp_path / "more", batch_size=1)
    known = {row.key: row.id for row in more.tasks}
    assert 4 == len(set(known.values()))
    assert [(row.key, row.id) for row in few.tasks] == [(key, known[key]) for key in in_order("ab")]


class Odd(Stage[Sum, Sum]):
    """Behind a group stage, in a chain."""

    version = 1

    def process(self, tasks: list[Sum]) -> list[Sum]:
        """Of groups with an odd number of tasks."""
        return [task for task in tasks if len(task.values) % 2]


def test_a_group_stage_may_begin_a_chain(tmp_path: Path) -> None:
    """The next member is given its tasks."""
    outcome = try_stage(Chain([Groups(fails="c"), Odd()]), labelled("aabccc"), tmp_path)
    assert ["b"] == [row.key for row in outcome.tasks]
    assert (3, 1, 2) == (outcome.counts.failed, outcome.counts.passed, outcome.counts.dropped)


class Prepares(Groups):
    """Changes what groups are made by."""

    def prepare(self, task: Labelled) -> Labelled:
        """All alike."""
        task.label = "same"
        return task


def test_groups_are_those_that_were_sorted(tmp_path: Path) -> None:
    """Whatever `prepare` does to the tasks."""
    outcome = try_stage(Prepares(), labelled("abab"), tmp_path)
    assert in_order("ab") == [row.key for row in outcome.tasks]


class NeedsSetup(Groups):
    """Its key depends on what `setup` makes."""

    def setup(self, worker: WorkerInfo) -> None:
        """Too late."""
        self.prefix = "x"

    def key(self, task: Labelled) -> str:
        """With a prefix."""
        return self.prefix + task.label


def test_a_key_that_depends_on_setup_is_told_why_there_is_none() -> None:
    """Sort steps set no stage up."""
    rows = b"".join(codec(Labelled).encode_lines(labelled("a")))
    [found] = keys_of_rows(NeedsSetup(), Labelled, None)(rows, 1).keys
    assert isinstance(found, StageError)
    assert "NeedsSetup.key() reads self.prefix, which is not there: where rows are sorted, setup() has not run" == str(
        found
    )


def test_keys_that_are_named_alike_are_the_same() -> None:
    """A short text is named as it is; any other one is short, UTF-8, and differs from all others."""
    keys = ["", "a b", "\x00", "\ud800", "\\ud800", "x" * 201, "x" * 202, "\ud800" * 400]
    names = [shown(key) for key in keys]
    assert keys[:3] == names[:3]
    assert len(set(names)) == len(keys)
    assert all(len(name.encode()) < 1300 for name in names)


class Colour(enum.Enum):
    """A row has its value."""

    RED = "red"


@attrs.define(kw_only=True)
class Fields(Task):
    """Fields of many kinds."""

    text: str = "a"
    colour: Colour = Colour.RED
    maybe: str | None = None
    day: datetime.date = datetime.date(2026, 1, 2)
    number: int = 3
    ratio: float | None = None
    names: list[str] = attrs.field(factory=list)


class Keys(GroupStage[Fields, Sum]):
    """Which key each group has."""

    version = 1

    def __init__(self, by: str) -> None:
        self.group_by = by  # type: ignore[misc]

    def process_group(self, key: str, tasks: list[Fields]) -> list[Sum]:
        """One for each."""
        return [self.child(tasks, Sum, key=key, values=[])]


@pytest.mark.parametrize(("by", "key"), [("text", "a"), ("colour", "red"), ("day", "2026-01-02"), ("id", "n")])
def test_a_key_is_what_a_row_has(tmp_path: Path, by: str, key: str) -> None:
    """Text, also of an enum or a date."""
    assert [key] == [row.key for row in try_stage(Keys(by), [Fields(id="n")], tmp_path).tasks]


@pytest.mark.parametrize("by", ["number", "ratio", "names", "weight", "nope"])
def test_a_field_that_is_never_text_is_refused_when_the_pipeline_is_built(by: str) -> None:
    """With the stage that the user wrote, and what to do."""
    what = "has no such field" if by == "nope" else rf"write key\(self, task\) -> str .* str\(task.{by}\)"
    with pytest.raises(PipelineError, match=rf"^stages.keys: groups are made by '{by}'.*{what}"):
        build("p", Items((Fields(id="n"),)), {"keys": Step(Keys(by))})


def test_a_shard_of_groups_that_is_given_up_counts_for_the_budget(tmp_path: Path) -> None:
    """Which rows are one group is not known without the stage: as many groups as rows, so that none is left out."""
    rows, folder = tmp_path / "rows", tmp_path / "attempt"
    folder.mkdir()
    rows.write_bytes(b"".join(codec(Labelled).encode_lines(labelled("aab"))))
    inputs = [(str(rows), 0, 3)]
    job = ShardJob(
        shard="s", directory=str(folder), ref="s", root=str(tmp_path), inputs=inputs, batch_size=1, groups=True
    )
    counts = give_up(job, "add", Blame(FailureKind.CRASH, "it died"))
    assert (3, 3, 3) == (counts.groups_in, counts.groups_failed, counts.failed)


rows = st.lists(st.tuples(st.sampled_from(["", "a", "b", "\ud800", "c" * 40]), st.binary(max_size=30)), max_size=60)


@given(rows, st.sampled_from([1, 700, 1 << 20]))
@settings(deadline=None, max_examples=60)
def test_rows_are_sorted_the_same_in_memory_and_on_disk(rows: list[tuple[str, bytes]], kept: int) -> None:
    """By the place of their keys, and for one key as they came."""
    given_rows: list[Row] = [(place_of(key), number, line) for number, (key, line) in enumerate(rows)]
    with Sorter(kept) as sorter:
        for row in given_rows:
            sorter.extend([row])
        assert sorted(given_rows, key=lambda row: (row[0], row[1])) == list(sorter)


def test_a_full_disk_of_a_node_is_no_fault_of_the_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows that are too many for memory go: they became dead letters."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with Sorter(kept_bytes=200_000) as sorter, pytest.raises(StoreFailed, match=str(tmp_path)):
            sorter.extend([(place_of("a"), number, b"x" * 1000) for number in range(300)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def order_of(keys: Sequence[str]) -> Order:
    """Of a shard with these keys, each row of as many bytes as its key."""
    work = OrderInWork()
    for hashed, key in sorted(map(place_of, keys)):
        work.add(bucket_of(hashed), 1, len(key), 1.0)
    return Order.from_json(work.done().to_json())


def keys_of(count: int, seed: int) -> list[str]:
    """Drawn from 400 keys, a third of them one and the same."""
    drawn = random.Random(seed)
    return [f"k{0 if drawn.random() < 1 / 3 else drawn.randrange(400)}" for _ in range(count)]


@given(st.integers(0, 2000), st.integers(1, 300), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_ranges_have_every_row_once_and_fit(count: int, most: int, seed: int) -> None:
    """Unless all rows of one are in one bucket. Each range of a shard begins and ends where its order says."""
    orders = [order_of(keys_of(count, seed)), order_of(keys_of(count // 3, seed + 1))]
    ranges = hash_ranges(orders, Slicing(tasks=most, batch=1))
    assert sum(one.rows for one in ranges) == count + count // 3
    assert all(one.rows <= most or len(one.buckets) == 1 for one in ranges)
    stops = [0, *(one.buckets.stop for one in ranges)]
    assert all(one.buckets.start >= stop for one, stop in zip(ranges, stops, strict=False))
    for order in orders:
        starts = Starts(order)
        inside = sum(starts.at(one.buckets.stop)[0] - starts.at(one.buckets.start)[0] for one in ranges)
        assert sum(order.rows) == inside
        assert (sum(order.rows), sum(order.sizes)) == starts.at(BUCKETS)


@given(st.integers(1, 3000), st.integers(1, 300), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_a_row_more_changes_no_other_range(count: int, most: int, seed: int) -> None:
    """At most the one that it is in is another, or several for one."""
    before = hash_ranges([order_of(keys_of(count, seed))], Slicing(tasks=most, batch=1))
    after = hash_ranges([order_of([*keys_of(count, seed), "new"])], Slicing(tasks=most, batch=1))
    place = bucket_of(place_of("new")[0])
    others = {one for one in after if place not in one.buckets}
    split = {one for one in before if place in one.buckets}
    assert {one for one in before if place not in one.buckets} <= others
    inside = range(0) if not split else next(iter(split)).buckets
    assert all(one in before or set(one.buckets) <= set(inside) for one in others)
