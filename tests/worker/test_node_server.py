"""One server for all stage processes of a node: loaded once, found, replaced when it dies or hangs, gone in the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest
from engine_stages import Number
from one_worker import Bench, bench
from server_stages import PROGRAM, Asks, twice

from hpcurate import Chain, NodeServer
from hpcurate.errors import ConfigError, PipelineError, SetupLost
from hpcurate.fields import convert
from hpcurate.members import node_server_of
from hpcurate.node.server import ServerFolder, ServerOnNode
from hpcurate.server import filled
from hpcurate.stage_process.server_guard import End, given_up, pause
from hpcurate.stage_process.server_program import listeners
from hpcurate.store.layout import Store
from hpcurate.worker.hosts.servers import server_name

SUPPORT = Path(PROGRAM).parent
GUARD = [sys.executable, str(SUPPORT / "server_stages.py")]


def lines(path: Path) -> list[int]:
    """Numbers that a server noted."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def until(found: Callable[[], object], seconds: float = 120, seen: Callable[[], object] = lambda: "") -> None:
    """Wait for something that another process does. `seen`: what there is instead, for the message."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"nothing came of it: {seen()}"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ended(notes: Path) -> bool:
    """Whether nothing is left of any server that was started."""
    return not any(map(lives, lines(notes / "loads") + lines(notes / "held")))


# -- whole workers ------------------------------------------------------------------------------------------


@contextmanager
def workers(made: Bench, count: int, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Workers of a submission, as a launcher starts them; they share a node."""
    Path(Store(made.plan.store).format_json).write_text("{}")
    msgspec.structs.replace(made.plan, workers=count).save(made.submission)
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(SUPPORT)}
    command = [sys.executable, "-m", "hpcurate.worker", made.submission]
    started = [subprocess.Popen(command, env={**environment, "HPCURATE_WORKER": str(k)}) for k in range(count)]
    yield started
    for process in started:
        process.kill()
        process.wait()


def owner_of(server: int) -> int:
    """The supervisor whose guard keeps it: above guard and keeper."""
    return psutil.Process(server).parents()[2].pid


def test_eight_clients_load_once_and_a_killed_server_or_worker_loses_nothing(tmp_path: Path) -> None:
    """Two workers of four stage processes. Kill -9 of the server, while questions wait: another one. Kill -9 of the
    worker that keeps it: nothing is left there, and the other worker has one. Kill -9 of what keeps the guard there: its
    server stayed, with all its memory.
    """
    numbers = [Number(id=f"n{value}", value=value) for value in range(2000)]
    made = bench(tmp_path, Asks(str(tmp_path)), numbers, 10, processes=4)
    asks, loads = tmp_path / "asks", tmp_path / "loads"

    def seen() -> tuple[object, ...]:
        return lines(loads), len(lines(asks)), len(made.rows("tasks")), [process.poll() for process in started]

    def another(than: int, rows: int) -> Callable[[], object]:
        return lambda: lives(lines(loads)[-1]) and lines(loads)[-1] != than and len(made.rows("tasks")) > rows

    with workers(made, 2, tmp_path) as started:
        until(lambda: len(lines(asks)) > 40, seen=seen)
        (first,) = lines(loads)
        os.kill(first, signal.SIGKILL)
        until(another(first, 100), seen=seen)
        second, before = lines(loads)[-1], len(made.rows("tasks"))
        owner = next(process for process in started if process.pid == owner_of(second))
        owner.kill()
        until(another(second, before + 100), seen=seen)
        assert not lives(second)
        third = psutil.Process(lines(loads)[-1])
        third.parents()[1].kill()
        until(lambda: not third.is_running())
        (other,) = (process for process in started if process is not owner)
        other.terminate()
        assert 0 == other.wait(60)
    done = {row["id"]: row["value"] for row in made.rows("tasks")}
    assert [] == [n.id for n in numbers if n.id in done and done[n.id] != 2 * n.value]
    assert [] == made.rows("failed")
    assert {1} == {json.loads(path.read_text())["attempt"] for path in Path(made.plan.store).rglob("stats.json")}
    until(lambda: ended(tmp_path))
    assert [] == list(tmp_path.glob("hpcurate-*/*/.servers/*"))


def test_a_server_that_cannot_start_fails_the_setup_with_what_it_printed(tmp_path: Path) -> None:
    """No shard is begun, no task is a dead letter, and its key is in no file."""
    made = bench(tmp_path, Asks(str(tmp_path), how=["dies"]), [Number(id="n", value=1)], 1)
    with workers(made, 1, tmp_path) as (worker,):
        assert 1 == worker.wait(60)
        assert ended(tmp_path)
    said = made.failure().message
    assert "the server left with status 1 before it answered GET /health" in said
    assert "no memory for ***HPCURATE_SERVER_KEY*** | the weights do not fit" in said
    assert [] == made.rows("failed")
    assert 2 == len(lines(tmp_path / "loads"))


# -- guards and clients -------------------------------------------------------------------------------------


class Node:
    """Guards of one server, and what became of it."""

    def __init__(self, folder: Path, how: str = "", **server: float) -> None:
        self.folder, self.how, self.server = folder, how, server
        folder.mkdir()
        self.client = ServerOnNode(str(folder / "server"))
        self.guards: list[tuple[subprocess.Popen[str], socket.socket]] = []

    def guard(self) -> subprocess.Popen[str]:
        """One more."""
        ours, theirs = socket.socketpair()
        words = [str(self.folder / "server"), str(self.folder), self.how, json.dumps(self.server)]
        with theirs:
            process = subprocess.Popen([*GUARD, *words], stdin=theirs.fileno(), stdout=subprocess.PIPE, text=True)
        self.guards.append((process, ours))
        return process

    @property
    def loads(self) -> list[int]:
        """Pids of all servers that were started."""
        return lines(self.folder / "loads")

    def close(self) -> str:
        """End all guards; what they printed."""
        for _, channel in self.guards:
            channel.close()
        said = "".join(process.communicate(timeout=30)[0] for process, _ in self.guards)
        self.guards.clear()
        return said


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Makes nodes."""
    made: list[Node] = []

    def new(how: str = "", **server: float) -> Node:
        made.append(Node(tmp_path / f"n{len(made)}", how, **server))
        return made[-1]

    yield new
    for one in made:
        one.close()


def test_a_server_that_hangs_is_replaced(node: Callable[..., Node]) -> None:
    """SIGSTOP: its questions would wait for ever; they are asked again."""
    here = node(quiet_s=0.4)
    here.guard()
    assert 4 == twice(here.client, 2)
    before = here.client.where()
    os.kill(here.loads[0], signal.SIGSTOP)
    assert 6 == twice(here.client, 3)
    after = here.client.where()
    assert 2 == len(here.loads)
    assert (True, True, True) == (before.url != after.url, before.key != after.key, before.keeper == after.keeper)
    assert 0o600 == os.stat(here.folder / "server" / "state.json").st_mode & 0o777
    said = here.close()
    assert "has answered nobody for 0.4 s (server.quiet_s)" in said
    assert "ChannelClosed" not in said  # whoever leaves while it works has not failed
    assert ended(here.folder)


def test_a_server_that_is_never_ready_is_given_up_and_stays_so(node: Callable[..., Node]) -> None:
    """It would load for as long again."""
    here = node("never", ready_s=0.5)
    here.guard()
    for _ in range(2):
        with pytest.raises(SetupLost, match=r"did not answer GET /health with 200 in 0.5 s \(server\.ready_s\)"):
            here.client.where()
    assert 1 == len(here.loads)
    assert ended(here.folder)


def test_a_program_that_is_not_there_is_named(node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the environment in which it was looked for."""
    monkeypatch.setattr(sys.modules[__name__], "GUARD", [*GUARD[:1], "-c", _ABSENT, *GUARD[1:]])
    here = node()
    here.guard()
    with pytest.raises(SetupLost, match="no-such-program: No such file or directory, in the environment of"):
        here.client.where()


_ABSENT = (
    "import runpy, sys; sys.executable = 'no-such-program'; del sys.argv[0]; "
    "sys.path.insert(0, sys.argv[0].rpartition('/')[0]); runpy.run_path(sys.argv[0], run_name='__main__')"
)


def test_another_programs_answer_is_not_the_servers(tmp_path: Path) -> None:
    """It may listen on the port, and be well: only a socket of the server's own processes counts."""
    script = (
        "import sys, hpcurate.stage_process.server_program as s\n"
        "p = s.ServerProgram([sys.executable, '-c', 'import time; time.sleep(60)'], int(sys.argv[1]), 'key')\n"
        "print(p.owner()); p.end()\n"
        "p = s.ServerProgram([sys.executable, sys.argv[2], '0', sys.argv[3]], 1, 'key')\n"
        "print(s.free_port() in s.PORTS, p.owner()); p.end()"
    )
    with socket.create_server(("127.0.0.1", 0)) as other:
        words = [sys.executable, "-c", script, str(other.getsockname()[1]), PROGRAM, str(tmp_path)]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert ["False", "True None"] == [line for line in said if not line.startswith("server: ")]


def test_nobody_is_taken_for_a_keeper_that_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a guard that was killed had written down says nothing."""
    monkeypatch.setattr("hpcurate.node.server.NOBODY_S", 0.1)
    folder = ServerFolder(str(tmp_path / "server"))
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "state.json").write_text('{"url": "http://127.0.0.1:9", "key": "k", "failed": ""}')
    assert folder.state() is None
    with pytest.raises(SetupLost, match="nobody has kept the server of this node"):
        ServerOnNode(folder.path).where()


# -- what is decided ----------------------------------------------------------------------------------------


def test_when_a_server_is_given_up() -> None:
    """After two starts that never were ready, eight deaths in a row of one that was, or where it is no use."""
    died, was = End("died"), End("died", was_ready=True)
    assert [False, True] == [given_up(died, n, 0, was_ready=False) for n in (1, 2)]
    assert [False, True] == [given_up(was, n, 0, was_ready=True) for n in (7, 8)]
    assert given_up(End("late", for_good=True), 1, 0, was_ready=True)
    assert [False, True] == [given_up(End("taken", port_taken=True), 0, n, was_ready=False) for n in (9, 10)]
    assert [0, 0, 1, 2, 4, 30] == [pause(n) for n in (0, 1, 2, 3, 4, 12)]


def test_words_keep_other_braces() -> None:
    """A word may be JSON."""
    words = ["serve", "{model}/x.gguf", '--limit={"image": 8}', "--port={port}"]
    assert ["serve", "/w/x.gguf", '--limit={"image": 8}', "--port=80"] == filled(words, {"model": "/w", "port": "80"})


def test_who_listens_is_read_from_the_kernels_table() -> None:
    """Ports are hexadecimal there; only state 0A listens."""
    rest = "00000000:00000000 00:00000000 00000000  1000        0"
    table = [
        f"   0: 0100007F:1F90 00000000:0000 0A {rest} 4711 1 0 100 0 0 10 0",
        f"   1: 0100007F:1F90 0100007F:A000 01 {rest} 4712 1 0 20 4 30 10 -1",
        f"   2: 0100007F:1F91 00000000:0000 0A {rest} 4713 1 0 100 0 0 10 0",
    ]
    assert {"4711"} == listeners(8080, table)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"command": ["vllm", "serve"]}, "server.command=('vllm', 'serve'): none of its words has {port}"),
        ({"command": "vllm serve --port {port}"}, "Expected `list`, got `str`; type ["),
        ({"command": []}, "server.command=(): a list of words is expected"),
        ({"command": ["x", "{port}"], "health": "health"}, "server.health=health: a path is expected"),
        ({"command": ["x", "{port}"], "ready": 3}, "server.ready: there is no such key; did you mean 'ready_s'?"),
    ],
)
def test_a_wrong_server_is_refused_before_anything_runs(given: dict[str, object], message: str) -> None:
    """In the driver, with the key."""
    with pytest.raises(ConfigError) as refused:
        convert(NodeServer, given, "server")
    assert message in str(refused.value)


def test_a_chain_has_one_server(tmp_path: Path) -> None:
    """Members that ask the same one share it."""
    one, other = Asks(str(tmp_path)), Asks(str(tmp_path / "other"))
    assert one.node_server == node_server_of(Chain([one, Asks(str(tmp_path))]))
    with pytest.raises(PipelineError, match="share one node_server"):
        node_server_of(Chain([one, other]))


def test_which_server_is_shared(tmp_path: Path) -> None:
    """Workers of a run with the same GPUs share it; another run, command or set of GPUs has one of its own."""
    plan = bench(tmp_path, Asks("a"), [Number(id="n", value=1)], 1).plan
    other = bench(tmp_path / "b", Asks("b"), [Number(id="n", value=1)], 1).plan
    same = server_name(plan, (), "7")
    assert same == server_name(msgspec.structs.replace(plan, round=2), (), "8")
    assert same != server_name(msgspec.structs.replace(plan, run="another"), (), "7")
    assert same != server_name(msgspec.structs.replace(other, store=plan.store), (), "7")
    assert server_name(plan, ("GPU-1",), "7") == server_name(plan, ("GPU-1",), "8")
    assert server_name(plan, ("0",), "7") != server_name(plan, ("0",), "8")
    assert server_name(plan, ("0", "1"), "7") != server_name(plan, ("0",), "7")
