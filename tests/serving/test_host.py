"""A server in a process of its own: it listens, is asked, and ends, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from checkout import ROOT
from shell import Shell

from hpcurate.cli.servers import cancel_lines, list_servers, remove_over
from hpcurate.runs.folder import open_store
from hpcurate.serving.servers import Ended, Listening, Server, ServerSpec, new_server
from hpcurate.serving.standing import State, look
from hpcurate.store.layout import Store

pytest.importorskip("uvicorn")
SPEC = ServerSpec(what="hello", entry="served_hello.make", served={"say": "good day"}, made=1e9)
Start = Callable[[Server], "subprocess.Popen[str]"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Empty."""
    return Store(str(tmp_path))


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers as their jobs do; what is left is killed with the test."""
    begun = []

    def started(server: Server) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-P", "-m", "hpcurate.serving.job", server.path]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        begun.append(process)
        return process

    yield started
    for process in begun:
        process.kill()
        process.communicate()


def listening(server: Server) -> Listening:
    """Once it does."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := server.listening:
            return found
        time.sleep(0.02)
    raise AssertionError(f"it does not listen: {server.ended}")


def ask(where: Listening, path: str, token: str) -> str:
    """An answer. Raises HTTPError."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{where.port}{path}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.read().decode())


def test_a_server_lives_until_it_is_cancelled(store: Store, start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    """What is in work ends with its answer; another start has another token, and the first one opens nothing."""
    server = new_server(store, "hello", SPEC)
    process = start(server)
    where = listening(server)
    assert "good day from here" == ask(where, "/", where.token)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(where, "/", "wrong")
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(ask(where, "/slow", where.token)))
    slow.start()
    time.sleep(0.3)
    assert [f"{server.name}: cancelled"] == cancel_lines(server)
    slow.join(10)
    assert (["good day from here"], 0) == (answers, process.wait(10))
    assert [State.ENDED] == [one.state for one in look([server])]
    assert (None, False) == (server.listening, os.path.exists(server.requests))

    second = new_server(store, "hello", msgspec.structs.replace(SPEC, made=2e9))
    start(second)
    there = listening(second)
    assert there.token != where.token
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(there, "/", where.token)
    assert f"{server.name}: ends: by " in capfd.readouterr().out
    list_servers(store, json=True)
    printed = capfd.readouterr().out
    assert there.token not in printed
    assert [("ended", "cancelled"), ("ready", None)] == [(one["state"], one["why"]) for one in json.loads(printed)]
    assert [server.name] == remove_over(store, 0)
    assert (False, True) == (os.path.exists(server.path), os.path.exists(second.path))


def test_a_page_that_is_open_keeps_no_server(store: Store, start: Start) -> None:
    """A stream of events is no request in work: who left the page open overnight holds no GPU."""
    server = new_server(store, "hello", msgspec.structs.replace(SPEC, idle_s=0.5))
    process = start(server)
    where = listening(server)
    request = urllib.request.Request(
        f"http://127.0.0.1:{where.port}/stream", headers={"Authorization": f"Bearer {where.token}"}
    )
    with urllib.request.urlopen(request, timeout=20) as stream:
        assert b"data: 1\n" == stream.readline()
        assert process.wait(20) == 0
    assert server.ended is not None
    assert "idle" == server.ended.why


def test_a_server_that_cannot_be_made_says_why(store: Store, start: Start) -> None:
    """In its folder and in its log, without a traceback of ours; started again it does not begin again."""
    server = new_server(store, "hello", msgspec.structs.replace(SPEC, entry="served_hello.fail"))
    process = start(server)
    _, said = process.communicate(timeout=30)
    assert (1, "hpcurate: served.say: there is nothing to say\n") == (process.returncode, said)
    assert server.ended is not None
    assert ("failed", "served.say: there is nothing to say") == (server.ended.why, server.ended.message)
    assert start(server).wait(30) == 0


def test_one_that_was_killed_is_lost_and_its_token_is_removed(store: Store, start: Start) -> None:
    """Nothing of it stays after a cancel."""
    server = new_server(store, "hello", SPEC)
    process = start(server)
    listening(server)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert [State.LOST] == [one.state for one in look([server])]
    cancel_lines(server)
    assert (None, State.ENDED) == (server.listening, look([server])[0].state)


def test_clean_names_and_removes_servers_that_have_ended(shell: Shell) -> None:
    """One that may still be queued stays."""
    store = open_store(str(shell.store))
    over, queued = (new_server(store, title, SPEC) for title in ("over", "queued"))
    over.record_end(Ended(why="idle", at=1e9))
    assert f"1 server that ended: {over.name}\n" in shell.type("clean", f"store={store.root}").stdout
    assert os.path.exists(over.path)
    done = shell.type("clean", "--yes", "--wait", "0", f"store={store.root}")
    assert f"server {over.name}: removed\n" in done.stdout
    assert (False, True) == (os.path.exists(over.path), os.path.exists(queued.path))
