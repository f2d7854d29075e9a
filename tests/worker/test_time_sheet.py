"""What a worker writes down about itself: what it was given, and how its time went by."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from engine_stages import Double, Number
from one_worker import Bench, bench

from hpcurate import Stage
from hpcurate.store.filesystem import POSIX
from hpcurate.store.worker_records import WorkerRecord, read_worker_records, write_worker_record
from hpcurate.system.allocation import Allocation
from hpcurate.system.processes import cpu_seconds
from hpcurate.worker.time_sheet import Given, given, job_begun

NUMBERS = [Number(id=f"n{i}", value=i) for i in range(1, 7)]
SHAPE = {"resources": {"cpus": 2, "gpus": 0.5, "memory": "100MB"}, "processes": 3}


class Leaves(Stage[Number, Number]):
    """Cannot finish a shard."""

    def process(self, tasks: list[Number]) -> list[Number]:
        """A bug of the stage's own that is no task's."""
        raise KeyboardInterrupt


def only(made: Bench) -> WorkerRecord:
    """That of the one worker."""
    (record,) = read_worker_records(POSIX, made.submission)
    return record


def test_a_worker_that_leaves_has_written_down_its_time(tmp_path: Path) -> None:
    """Set-up and shards are parts of it."""
    made = bench(tmp_path, Double(), NUMBERS, 2)
    before = time.time()
    assert 0 == made.worker().run()
    record = only(made)
    assert ("stage", 1, 0, 1, 1, 0.0) == (
        record.stage, record.round, record.index, record.processes, record.cpus, record.gpus
    )  # fmt: skip
    assert record.ended is not None
    assert before - 0.01 <= record.begun <= record.ended <= time.time() + 0.01
    assert 0.0 < record.setup_seconds + record.busy_seconds <= record.ended - record.begun + 0.01
    assert (3, 6, 0, 0.0, None) == (
        record.committed, record.tasks_out, record.lost, record.lost_seconds, record.gpu_seconds
    )  # fmt: skip
    assert 0.0 <= record.cpu_seconds <= record.busy_seconds + 0.5


def test_a_shard_says_when_and_where_it_was_in_work(tmp_path: Path) -> None:
    """And how much of its cores it used, by the worker's own name."""
    made = bench(tmp_path, Double(), NUMBERS, 6)
    made.worker().run()
    stats, record = made.store.commits.stats("0001-000000"), only(made)
    assert (record.worker, record.node) == (stats.worker, stats.node)
    assert stats.begun is not None
    assert stats.ended is not None
    assert record.begun <= stats.begun <= stats.ended <= (record.ended or 0.0)
    assert 0.0 <= stats.cpu_seconds <= stats.ended - stats.begun + 0.5
    assert stats.peak_memory_mb > 1


def test_time_in_attempts_that_came_to_nothing_is_lost(tmp_path: Path) -> None:
    """Also of one that was interrupted; its ending says from when to when it was in work."""
    made = bench(tmp_path, Leaves(), NUMBERS, 6)
    with pytest.raises(KeyboardInterrupt):
        made.worker().run()
    record = only(made)
    assert (0, 0.0, 1, True) == (record.committed, record.busy_seconds, record.lost, record.lost_seconds > 0.0)
    assert record.ended is not None
    end = made.store.claims.ending("0001-000000", made.store.claims.latest("0001-000")["0001-000000"])
    assert (record.worker, record.node) == (end.worker, end.node)
    assert record.begun <= end.begun <= end.ended


@pytest.mark.parametrize(
    ("device", "allocation", "whole", "expected"),
    [
        ("cuda", Allocation(), False, Given(6, 1.5, 300)),
        ("cpu", Allocation(), False, Given(6, 0.0, 300)),
        ("cuda", Allocation(job_id="7", cpus=8, memory_mb=400), True, Given(8, 2, 400)),
        ("cuda", Allocation(job_id="7"), True, Given(6, 2, 300)),
        ("cuda", Allocation(job_id="7", cpus=64, memory_mb=9000), False, Given(6, 1.5, 300)),
    ],
)
def test_what_a_worker_was_given(
    tmp_path: Path, device: str, allocation: Allocation, whole: bool, expected: Given
) -> None:
    """All of a job of its own, where Slurm may give more than was asked for; of a shared machine its share."""
    plan = bench(tmp_path, Double(), NUMBERS, 6, **SHAPE).plan
    plan = msgspec.structs.replace(plan, stage=msgspec.structs.replace(plan.stage, device=device))
    assert expected == given(plan, allocation, whole_job=whole)


@pytest.mark.parametrize(
    ("start", "whole", "expected"), [(998, True, 998), (998, False, 1000), (None, True, 1000), (3, True, 1000)]
)
def test_a_job_is_paid_for_from_its_own_beginning(start: int | None, whole: bool, expected: float) -> None:
    """Unless it is not the worker's, or the clocks of node and controller disagree."""
    assert expected == job_begun(Allocation(start_time=start), 1000.0, whole_job=whole)


def test_records_are_read_in_order_and_without_what_cannot_be_read(tmp_path: Path) -> None:
    """A submission of before has none."""
    assert [] == read_worker_records(POSIX, str(tmp_path / "before"))
    record = WorkerRecord(
        worker="b",
        stage="s",
        round=1,
        index=0,
        node="n",
        processes=1,
        cpus=1,
        gpus=0,
        memory_mb=1,
        begun=9.0,
    )
    for one in (record, msgspec.structs.replace(record, worker="a", begun=12.0)):
        write_worker_record(POSIX, str(tmp_path), one)
    (tmp_path / "workers" / "c.json").write_text("{")
    assert ["b", "a"] == [one.worker for one in read_worker_records(POSIX, str(tmp_path))]


BURN = "import time\nwhile time.process_time() < 0.15: pass\n"


def test_time_of_cores_includes_all_that_a_process_starts() -> None:
    """A decoder that was waited for, and one that still runs."""
    before = cpu_seconds()
    subprocess.run([sys.executable, "-S", "-c", BURN], check=True)
    waited = cpu_seconds()
    running = subprocess.Popen([sys.executable, "-S", "-c", BURN + "print(flush=True)\ntime.sleep(60)"], stdout=-1)
    try:
        assert running.stdout is not None
        running.stdout.readline()
        assert waited - before >= 0.14
        assert cpu_seconds() - waited >= 0.12
    finally:
        running.kill()
        running.communicate()
