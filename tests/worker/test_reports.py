"""Why workers left: each reports for itself, and who may be on a bad node keeps its allocation for a while."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from one_worker import Bench, QuickClock, bench
from unit_stages import Fated, Number, numbers

from hpcurate import Stage
from hpcurate.failures import FailureKind, Report
from hpcurate.planning.pipeline import Timing, WeightsRef
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store, shard_id
from hpcurate.store.manifest import FileEntry, write_manifest
from hpcurate.store.reports import read_reports, write_report
from hpcurate.system.allocation import Allocation
from hpcurate.worker.hold import is_over
from hpcurate.worker.hosts import Log
from hpcurate.worker.hosts.inprocess import InProcessHosts
from hpcurate.worker.node_staging import NodeStaging
from hpcurate.worker.supervisor import Supervisor
from hpcurate.world import World


class CannotStart(Stage[Number, Number]):
    """Its setup raises."""

    version = 1

    def setup(self, worker: Any) -> None:
        """See `Stage`."""
        raise RuntimeError("no licence")

    def process(self, tasks: list[Number]) -> list[Number]:
        """Never reached."""
        return tasks


class Copying(InProcessHosts):
    """In this process, and what it needs is copied to the node."""

    def staging(self, plan: Any, submission: str, log: Log) -> NodeStaging:
        """See `Hosts`."""
        return NodeStaging(plan, submission, log=log)


def worker_of(one: Bench, index: int, *, world: World | None = None, **more: Any) -> Supervisor:
    """One of an array."""
    here = Allocation(job_id="7", array_job_id="7", array_task_id=index)
    settings: dict[str, Any] = {"hosts": InProcessHosts(), **more}
    return Supervisor(
        one.plan, one.submission, index, job="7", log=one.lines.append, world=world, allocation=here, **settings
    )


def report(worker: str, kind: FailureKind = FailureKind.SETUP) -> Report:
    """Of somebody."""
    return Report(worker=worker, node="n1", kind=kind, message="no licence")


def test_every_worker_of_an_array_reports(tmp_path: Path) -> None:
    """Before, the last one's report replaced all others: nobody saw that two nodes failed alike."""
    one = bench(tmp_path, CannotStart(), numbers(1, 2), 1)
    assert [1, 1] == [worker_of(one, index).run() for index in (0, 1)]
    found = read_reports(POSIX, one.submission)
    assert [("setup", "no licence")] * 2 == [(r.kind.value, r.message.partition(": ")[2]) for r in found]
    assert 2 == len({r.worker for r in found})
    assert all("raise RuntimeError" in r.traceback and r.node for r in found)


@pytest.mark.parametrize("content", [b"", b"{", b'{"worker": 1}'])
def test_half_a_report_is_none(tmp_path: Path, content: bytes) -> None:
    """And there are none where nobody wrote one."""
    assert [] == read_reports(POSIX, str(tmp_path))
    write_report(POSIX, str(tmp_path), 3, report("a"))
    Path(tmp_path, "failures", "0001.json").write_bytes(content)
    assert [report("a")] == read_reports(POSIX, str(tmp_path))


@pytest.mark.parametrize(
    ("done", "others"), [*itertools.product([4, 5], [[], ["mine"], ["mine", "another"], ["another"]])]
)
def test_when_there_is_no_reason_to_stay(done: int, others: list[str]) -> None:
    """Somebody else works, or fails as well."""
    assert (done > 4 or "another" in others) is is_over("mine", 4, done, others)


def _nothing(one: Bench) -> None:
    """Nobody does anything."""


def _commits(one: Bench) -> None:
    os.makedirs(one.store.folder.shard(shard_id("0001", 0)))


def _fails(one: Bench) -> None:
    write_report(POSIX, one.submission, 9, report("another"))


@pytest.mark.parametrize(
    ("meanwhile", "workers", "element", "least", "most"),
    [
        (_nothing, 2, "7", 299, 301),
        (_commits, 2, "7", 10, 40),
        (_fails, 2, "7", 10, 40),
        (_nothing, 1, "7", 0, 0),
        (_nothing, 2, "", 0, 0),
    ],
    ids=["alone", "another commits", "another fails", "the only one", "no scheduler"],
)
def test_who_fails_at_once_keeps_its_place_for_a_while(
    tmp_path: Path, meanwhile: Callable[[Bench], None], workers: int, element: str, least: float, most: float
) -> None:
    """Before, a bad node on which every worker failed within a second was given all elements of an array."""
    one = bench(tmp_path, CannotStart(), numbers(1, 2), 1)
    one = attrs.evolve(one, plan=msgspec.structs.replace(one.plan, workers=workers))

    class Clock(QuickClock):
        """Its first event is the one that has the worker leave."""

        first = True

        def event(self) -> Any:
            first, self.first = self.first, False
            return Waiting(self) if first else threading.Event()

    class Waiting(threading.Event):
        """Waiting takes no time; others do something the third time."""

        def __init__(self, clock: QuickClock) -> None:
            super().__init__()
            self._clock, self._times = clock, 0

        def wait(self, timeout: float | None = None) -> bool:
            self._clock.sleep(timeout or 0.0)
            self._times += 1
            if self._times == 3:
                meanwhile(one)
            return self.is_set()

    clock = Clock()
    here = Allocation(job_id=element or None)
    assert 1 == one.worker(World(clock=clock), allocation=here).run()
    assert least <= clock.slept <= most


def test_a_signal_ends_the_wait(tmp_path: Path) -> None:
    """Its node is needed for others, or the run was cancelled."""
    one = bench(tmp_path, CannotStart(), numbers(1, 2), 1)
    one = attrs.evolve(one, plan=msgspec.structs.replace(one.plan, workers=2, timing=Timing(hold_s=60)))
    worker = worker_of(one, 0)
    waits = threading.Thread(target=worker.run, daemon=True)
    waits.start()
    waits.join(0.5)
    assert waits.is_alive()
    worker.drain(at_once=True)
    waits.join(10)
    assert not waits.is_alive()


# -- what the node is to blame for ------------------------------------------------------------------


def test_a_disk_that_cannot_be_written_to_is_the_nodes(tmp_path: Path) -> None:
    """Before, the weights were read from shared storage there, task after task, and a full `/tmp` ended the worker."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / f"hpcurate-{os.getuid()}").write_text("no folder")
    one = bench(tmp_path, Fated(["keep"]), numbers(1), 1)
    one = attrs.evolve(one, plan=msgspec.structs.replace(one.plan, node_local=("/no/such", str(tmp_path / "scratch"))))
    assert 1 == worker_of(one, 0, hosts=Copying()).run()
    found = one.failure()
    assert (FailureKind.NODE, True) == (found.kind, "cannot be written to" in found.message)
    assert str(tmp_path / "scratch") in found.message
    shutil.rmtree(tmp_path / "scratch")
    assert 0 == worker_of(one, 0, hosts=Copying()).run()


@pytest.mark.parametrize(("flaws", "status"), [(1, 0), (2, 1)])
def test_weights_that_do_not_verify_are_the_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flaws: int, status: int
) -> None:
    """Copied once more they may; a worker on a node that copies them wrong twice leaves, before it computes with them."""
    import hpcurate.node.copying as copying

    one = bench(tmp_path, Fated(["keep"]), numbers(1), 1)
    source = Path(Store(one.plan.store).weights, "w")
    source.mkdir(parents=True)
    (source / "a").write_bytes(b"abc")
    (tmp_path / "scratch").mkdir()
    real, left = copying._copy_bytes, [flaws]

    def flips(source: str, target: str, stop: Callable[[], bool]) -> tuple[str, int]:
        digest, size = real(source, target, stop)
        left[0] -= 1
        return ("0" * 64 if left[0] >= 0 else digest), size

    digest, size = real(str(source / "a"), str(tmp_path / "copy"), lambda: False)
    write_manifest(str(source), [FileEntry("a", size, digest)])
    monkeypatch.setattr(copying, "_copy_bytes", flips)
    stage = msgspec.structs.replace(one.plan.stage, weights=(WeightsRef(("m",), "m@1", "w"),))
    one = attrs.evolve(
        one, plan=msgspec.structs.replace(one.plan, stage=stage, node_local=(str(tmp_path / "scratch"),))
    )
    assert status == worker_of(one, 0, hosts=Copying()).run()
    if status:
        assert (FailureKind.NODE, True) == (one.failure().kind, "copied to it twice" in one.failure().message)
