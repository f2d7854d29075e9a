"""Waiting for a server that was submitted: what ends it, and what does not."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcurate.cli.servers import INTERRUPTED, await_server
from hpcurate.runs.launcher import JobRow, NoQueue
from hpcurate.serving.awaited import NeverListened, wait_until_ready
from hpcurate.serving.servers import Ended, Listening, Server, ServerSpec, SubmittedJob, new_server
from hpcurate.store.layout import Store
from hpcurate.store.rounds import Jobs
from hpcurate.system.clock import SystemClock
from launchers.inline import InlineLauncher

PENDING = JobRow(id="7", name="x", state="PENDING", reason="Priority")
LISTENING = Listening(host="127.0.0.1", port=8123, token="t0ken")


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """One that was submitted as job 7."""
    made = new_server(Store(str(tmp_path)), "x", ServerSpec(what="x", entry="a.b", made=1e9))
    made.record_job(SubmittedJob(queue="slurm", cluster="c", id="7"))
    return made


class Scheduler(NoQueue):
    """It answers so, one time after the other, the last answer for ever; before each something may happen."""

    name = "slurm"

    def __init__(self, *answers: list[JobRow] | None, before: dict[int, Callable[[], object]] | None = None) -> None:
        self._answers, self._before, self.asked = answers, before or {}, 0

    def cluster(self) -> str | None:
        """See `Queue`."""
        return "c"

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """See `Queue`."""
        self._before.get(self.asked, lambda: None)()
        self.asked += 1
        return self._answers[min(self.asked, len(self._answers)) - 1]


class Quick(SystemClock):
    """Time passes where somebody sleeps, and nowhere else."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        """See `Clock`."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        self._now += seconds


def test_it_is_said_once_why_it_waits(server: Server) -> None:
    """Each time that this changes; a scheduler that does not answer ends nothing, nor one wrong answer."""
    said: list[str] = []
    queue = Scheduler([PENDING], [PENDING], None, [], [PENDING], before={5: lambda: server.record_listening(LISTENING)})
    assert wait_until_ready(server, queue, said.append, Quick()).listening == LISTENING
    assert [f"{server.name}: job 7 is pending, Priority: other jobs come first"] == said


def test_a_job_that_is_gone_ends_the_waiting(server: Server) -> None:
    """Seen twice; with the end of its log."""
    Path(server.log).write_text("".join(f"line {number}\n" for number in range(100)))
    with pytest.raises(NeverListened, match=r"(?s)it was killed, or its node failed.* line 80\n.* line 99\n"):
        wait_until_ready(server, (queue := Scheduler([])), lambda line: None, Quick())
    assert queue.asked == 2


def test_a_server_that_says_why_it_ended_is_believed(server: Server) -> None:
    """Nobody is asked."""
    server.record_end(Ended(why="cancelled", message="by me", at=1e9))
    with pytest.raises(NeverListened, match="ended before it listened: cancelled: by me"):
        wait_until_ready(server, (queue := Scheduler([])), lambda line: None, Quick())
    assert queue.asked == 0


def test_ctrl_c_ends_the_waiting_and_leaves_it_queued(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what to type."""
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    assert INTERRUPTED == await_server(server, InlineLauncher(), None)
    timer.join()
    out = capsys.readouterr().out
    assert f"{server.name}: stays queued" in out
    assert f"hpcurate cancel {server.name} store=" in out
    assert (None, "") == (server.ended, server.asked_to_end)
