"""A heartbeat says what is in work, for those who look. Before, it was a counter, and a slow task looked like a hang."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import attrs
import msgspec
import pytest
from one_worker import bench
from unit_stages import Fated, Number, numbers

from hpcurate.planning.pipeline import Timing
from hpcurate.stage_process.reached import called, weight_of
from hpcurate.store.filesystem import POSIX, PosixFilesystem
from hpcurate.store.heartbeat import AtWork, Beat, counter_of, decoded, encoded
from hpcurate.store.layout import StageFolder
from hpcurate.task import FileTask, Task
from hpcurate.worker.heartbeat import Heartbeat, in_work_s
from hpcurate.worker.supervisor import SETTING_UP
from hpcurate.world import World

HOSTILE = "/in/<script>\n\udcff\x00{}.mp4"
ONE = AtWork(shard="0001-000001", tasks=9, done=2, weight=2.5, took_s=4.0, task="id", name=HOSTILE, since_s=7.0)


class Slow(Fated):
    """Waits in `setup`, and at each number, until there is a file of that name."""

    gate = Path()

    def setup(self, worker: object) -> None:
        """Models are loaded for minutes."""
        assert soon((self.gate / "setup").exists)

    def process(self, tasks: list[Number]) -> list[Number]:
        """One after the other."""
        for task in tasks:
            assert soon(lambda value=task.value: (self.gate / str(value)).exists())  # type: ignore[misc]
        return tasks


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within a few seconds."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_a_heartbeat_of_an_earlier_release_is_a_counter() -> None:
    """And nothing is known of what its worker does."""
    assert Beat(counter=b"000000000007") == decoded(b"000000000007\n")


def test_what_is_in_work_is_read_as_it_was_written() -> None:
    """Names are any text; of a long one the end is kept."""
    beat = Beat(counter=b"000000000007", node="n1", every_s=2.0, at_work=(ONE, msgspec.structs.replace(ONE, shard="s")))
    assert beat == decoded(encoded(beat))
    long = decoded(
        encoded(msgspec.structs.replace(beat, at_work=(msgspec.structs.replace(ONE, name="x" * 5000 + ".mp4"),)))
    )
    assert ("x.mp4", 300) == (long.at_work[0].name[-5:], len(long.at_work[0].name))


@pytest.mark.parametrize("cut", [13, 14, 30, 60, 100])
def test_a_line_that_is_cut_short_is_left_out(cut: int) -> None:
    """The file is overwritten in place: who reads it meanwhile may see a part."""
    data = encoded(Beat(counter=b"000000000007", node="n1", at_work=(ONE,)))
    assert (b"000000000007", ()) == (decoded(data[:cut]).counter, decoded(data[:cut]).at_work)
    assert b"000000000007" == decoded(data[:60] + b"\n\xff{\n[1]\n" + data[60:]).counter


def test_a_shorter_content_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    """It is overwritten in place, and not cut."""
    path, beat = str(tmp_path / "beat"), Beat(counter=b"000000000007", at_work=(ONE,) * 9)
    POSIX.beat(path, long := encoded(beat))
    POSIX.beat(path, encoded(Beat(counter=b"000000000008"), len(long)))
    assert Beat(counter=b"000000000008") == decoded(POSIX.read(path))
    assert b"000000000008" == counter_of(POSIX.read(path))


class Full(PosixFilesystem):
    """Of a full disk: no file grows any more."""

    def beat(self, path: str, data: bytes) -> None:
        """As NFS says it: nothing of the call was written."""
        if Path(path).exists() and len(data) > Path(path).stat().st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        super().beat(path, data)


def falls_over() -> list[AtWork]:
    """What is in work cannot be said."""
    raise RuntimeError("dictionary changed size during iteration")


@pytest.mark.parametrize(("filesystem", "at_work"), [(Full(), lambda: [ONE]), (POSIX, falls_over)])
def test_the_counter_goes_through_whatever_becomes_of_the_rest(
    tmp_path: Path, filesystem: PosixFilesystem, at_work: Callable[[], list[AtWork]]
) -> None:
    """A longer file did not fit on a full disk, an exception ended the thread: the worker was taken for dead."""
    folder = StageFolder(str(tmp_path))
    path = Path(folder.worker("7-0-r0-aa"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"000000000000\n")
    heart = Heartbeat(World(filesystem=filesystem), folder, "7-0-r0-aa", 0.01, at_work=at_work)
    heart.start()
    began = heart.gapless_since
    assert soon(lambda: counter_of(path.read_bytes()) > b"000000000003")
    assert heart.gapless_since == began
    heart.stop()


def test_many_workers_write_seldom_and_few_often() -> None:
    """Together about as often; none less often than it promised."""
    assert [2.0, 2.0, 10.0, 30.0, 30.0] == [in_work_s(30.0, workers) for workers in (1, 32, 160, 480, 9000)]
    assert 0.1 == in_work_s(0.1, 9000)


def test_a_task_is_called_as_people_call_it() -> None:
    """By its file if it has one."""
    file = FileTask(id="i", source="a.mp4", path="/in/a.mp4", size=1, mtime_ns=1)
    assert ("/in/a.mp4", "i") == (called(file), called(Task(id="i")))
    odd, huge = Task(id="i", weight=None), Task(id="i", weight=10**400)  # type: ignore[arg-type]
    assert [3.0, 0.0, 0.0] == [weight_of(tasks) for tasks in ([Task(id="i", weight=1.5)] * 2, [file, odd], [huge])]


def test_a_worker_says_which_task_is_in_work_since_when_and_how_many_are_done(tmp_path: Path) -> None:
    """And before that that it sets the stage up; once it has left nothing is in work."""
    one = bench(tmp_path, Slow(["keep"]), numbers(0, 1, 2), 3, batch_size=1, task_timeout=3600)
    Slow.gate = tmp_path
    worker = attrs.evolve(one, plan=msgspec.structs.replace(one.plan, timing=Timing(heartbeat_s=0.02))).worker()
    path = one.store.folder.worker(worker.worker)
    thread = Thread(target=worker.run)
    thread.start()

    def seen() -> AtWork:
        found = decoded(POSIX.read(path)).at_work if Path(path).exists() else ()
        return found[0] if found else AtWork(shard="", tasks=0)

    assert soon(lambda: seen().name == SETTING_UP)
    (tmp_path / "setup").touch()
    (tmp_path / "0").touch()
    assert soon(lambda: seen().done == 1)
    now = seen()
    assert ("n1", "n1", 3, 1.0, 1, 1.0, 3600.0) == (
        now.task, now.name, now.tasks, now.weight, now.batch, now.weighs, now.limit_s,
    )  # fmt: skip
    assert soon(lambda: seen().since_s > now.since_s)
    (tmp_path / "1").touch()
    (tmp_path / "2").touch()
    thread.join(10)
    assert Beat(counter=b"") == msgspec.structs.replace(decoded(POSIX.read(path)), counter=b"")
    assert 3 == len(one.rows("tasks"))
