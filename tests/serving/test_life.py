"""How long a server lives, and that it ends in order."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hpcurate.serving.life import Life, Look, end_at_s, reason_to_end
from hpcurate.serving.servers import Ended, Listening, Server, ServerSpec, new_server
from hpcurate.store.layout import Store

TERM, INT, WARNING = signal.SIGTERM, signal.SIGINT, signal.SIGUSR2


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Look(), None),
        (Look(idle_s=1e9), None),
        (Look(idle_s=9.9, most_idle_s=10), None),
        (Look(idle_s=10, most_idle_s=10), "idle"),
        (Look(is_near=True), "time"),
        (Look(signal=WARNING), "time"),
        (Look(signal=TERM, is_near=True), "time"),
        (Look(signal=INT, is_near=True), "cancelled"),
        (Look(signal=TERM), "cancelled"),
        (Look(signal=WARNING, asked="me"), "cancelled"),
        (Look(asked="me"), "cancelled"),
        (Look(gone=True), "cancelled"),
    ],
)
def test_why_a_server_ends(seen: Look, expected: str | None) -> None:
    """Who asked comes before what happened; Slurm warns of the end of a job by a signal of its own."""
    found = reason_to_end(seen)
    assert expected == (found and found[0])


@pytest.mark.parametrize(("job_s", "expected"), [(86400.0, 30.0), (60.0, 15.0), (-1.0, 0.0)])
def test_a_short_job_has_most_of_its_time(job_s: float, expected: float) -> None:
    """A server that is not warned ends a little before its job, to do so in order."""
    assert expected == end_at_s(job_s)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """One that listens."""
    made = new_server(Store(str(tmp_path)), "x", ServerSpec(what="x", entry="a.b", made=1e9))
    made.record_listening(Listening(host="127.0.0.1", port=1, token="t"))
    return made


def ended(server: Server) -> Ended:
    """Why, which has been written."""
    found = server.ended
    assert found is not None
    return found


def test_a_signal_ends_it_in_order(server: Server) -> None:
    """Why it ends is written before what is in work ends, and nobody is refused before that."""
    life, seen = Life(server), list[object]()

    def at_end() -> None:
        seen.extend([ended(server).why, server.listening, life.closed.is_set()])

    with life.watched():
        life.serve(lambda: 1, at_end)
        os.kill(os.getpid(), TERM)
        assert life.closed.wait(10)
    assert ["cancelled", None, False] == seen


def test_who_asked_is_written_down(server: Server) -> None:
    """The look comes by itself."""
    life = Life(server, look_s=0.01)
    with life.watched():
        server.ask_to_end("me on login1")
        assert life.closed.wait(10)
    assert ("cancelled", "by me on login1") == (ended(server).why, ended(server).message)


def test_work_is_no_idleness(server: Server) -> None:
    """Its end is when the time begins."""
    working = [1]
    life = Life(server, idle_s=0.05, look_s=0.01)
    with life.watched():
        life.serve(lambda: working[0], lambda: None)
        assert not life.closed.wait(0.3)
        working[0] = 0
        assert life.closed.wait(10)
    assert ended(server).why == "idle"


def test_a_folder_that_is_removed_ends_it_and_stays_away(server: Server) -> None:
    """Nothing is written into it."""
    life = Life(server, look_s=0.01)
    with life.watched():
        shutil.rmtree(server.path)
        assert life.closed.wait(10)
    assert not os.path.exists(server.path)


def test_what_stops_without_a_reason_has_failed(server: Server) -> None:
    """It is written down all the same."""
    with Life(server).watched():
        pass
    assert ended(server).why == "failed"


def test_a_failure_names_itself(server: Server) -> None:
    """The first reason stands."""
    life = Life(server)
    with life.watched():
        life.end("failed", "no such model")
        life.end("cancelled", "later")
    assert "no such model" == ended(server).message


def test_its_handlers_are_gone_afterwards(server: Server) -> None:
    """Whoever called it has their own again; also the thread is through."""
    before = signal.getsignal(TERM), signal.getsignal(INT)
    with Life(server).watched():
        assert signal.getsignal(TERM) != before[0]
    assert before == (signal.getsignal(TERM), signal.getsignal(INT))
    deadline = time.monotonic() + 10
    while any(thread.name == "life" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.name == "life" for thread in threading.enumerate())


HANG = """
import sys, threading
from hpcurate.serving.life import Life
from hpcurate.serving.servers import Server
life = Life(Server(sys.argv[1]), most_s=0.2)
with life.watched():
    life.serve(lambda: 1, threading.Event().wait)
    life.end("idle", "")
    life.closed.wait()
"""


def test_a_server_that_cannot_end_in_order_ends_all_the_same(server: Server) -> None:
    """Why it was to end has been written by then."""
    done = subprocess.run([sys.executable, "-c", HANG, server.path], timeout=30, check=False)
    assert (1, "idle") == (done.returncode, ended(server).why)
