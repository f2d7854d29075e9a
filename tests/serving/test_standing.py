"""Where a server stands, from what it wrote and what others answer; and the lines that are printed of it."""

from __future__ import annotations

import datetime
import os
import re
import stat
from pathlib import Path

import msgspec
import pytest

from hpcurate.cli.servers import ready_lines, server_lines, server_meant
from hpcurate.errors import StoreError
from hpcurate.runs.launcher import JobRow, NoQueue
from hpcurate.serving.awaited import waiting_line
from hpcurate.serving.servers import (
    Ended,
    Listening,
    Server,
    ServerProcess,
    ServerSpec,
    SubmittedJob,
    find_server,
    new_name,
    new_server,
    server_names,
)
from hpcurate.serving.standing import Seen, Standing, State, look, state_of
from hpcurate.serving.tunnel import Way, free_port, tunnel_command, url_of
from hpcurate.store.layout import Store
from hpcurate.store.rounds import Jobs
from hpcurate.system.processes import ProcessIdentity

HERE = ProcessIdentity("h", 1, 1)
PROCESS = ServerProcess(identity=HERE, host="login1", node="gpu0", began=0.0, until=7200.0)
LISTENING = Listening(host="127.0.0.1", port=8123, token="t0ken")
ENDED = Ended(why="idle", at=60.0)
SPEC = ServerSpec(what="caption of video", entry="a.b", made=1e9, idle_s=1800.0)
JOB = SubmittedJob(queue="slurm", cluster="c", id="7")


def row(state: str) -> JobRow:
    """Of the queue."""
    return JobRow(id="7", name="x", state=state, reason="Priority")


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(), State.QUEUED),
        (Seen(job=JOB), State.QUEUED),
        (Seen(job=JOB, alive=True, row=row("PENDING")), State.QUEUED),
        (Seen(job=JOB, alive=True, row=row("RUNNING")), State.STARTING),
        (Seen(job=JOB, alive=True, row=row("CONFIGURING")), State.STARTING),
        (Seen(process=PROCESS), State.STARTING),
        (Seen(process=PROCESS, alive=True), State.STARTING),
        (Seen(process=PROCESS, alive=True, listening=LISTENING), State.READY),
        (Seen(process=PROCESS, alive=None, listening=LISTENING), State.READY),
        (Seen(process=PROCESS, alive=False, listening=LISTENING), State.LOST),
        (Seen(job=JOB, alive=False), State.LOST),
        (Seen(job=JOB, alive=False, asked="me"), State.ENDED),
        (Seen(job=JOB, alive=True, asked="me", row=row("RUNNING"), listening=LISTENING), State.READY),
        (Seen(ended=ENDED, listening=LISTENING, alive=True), State.ENDED),
        (Seen(ended=ENDED, alive=False), State.ENDED),
    ],
)
def test_a_state_is_what_was_written_unless_it_is_denied(seen: Seen, expected: State) -> None:
    """Nothing of an answer that nobody gave: a server of another host stays what it said it is."""
    assert expected == state_of(seen)


class Answering(NoQueue):
    """A queue that answers so."""

    name = "slurm"

    def __init__(self, rows: list[JobRow] | None, cluster: str | None = "c") -> None:
        self._rows, self._cluster = rows, cluster

    def cluster(self) -> str | None:
        """See `Queue`."""
        return self._cluster

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """See `Queue`."""
        return self._rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Empty."""
    return Store(str(tmp_path))


@pytest.fixture
def server(store: Store) -> Server:
    """A new one."""
    return new_server(store, "Caption (video)", SPEC)


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        (Answering([row("PENDING")]), State.QUEUED),
        (Answering([row("RUNNING")]), State.STARTING),
        (Answering([]), State.LOST),
        (Answering(None), State.QUEUED),
        (Answering([], cluster="another"), State.QUEUED),
        (Answering([], cluster=None), State.QUEUED),
    ],
)
def test_a_job_is_lost_only_if_its_own_cluster_says_so(server: Server, queue: Answering, expected: State) -> None:
    """The same id is another job elsewhere."""
    server.record_job(JOB)
    assert [expected] == [one.state for one in look([server], queue)]


def test_a_folder_is_its_owners_alone_also_in_a_groups_store(tmp_path: Path) -> None:
    """Whatever bits the folder above hands down; and so are the files that hold the token."""
    store = Store(str(tmp_path))
    os.mkdir(store.serving)
    os.chmod(store.serving, 0o2770)
    server = new_server(store, "x", SPEC)
    server.record_listening(LISTENING)
    modes = [
        stat.S_IMODE(os.stat(os.path.join(server.path, name)).st_mode) for name in (".", "requests", "address.json")
    ]
    assert [0o700, 0o700, 0o600] == modes


def test_what_is_written_is_read_again(server: Server) -> None:
    """And the token is in no repr."""
    server.record_process(PROCESS)
    server.record_listening(LISTENING)
    assert (SPEC, PROCESS, LISTENING, None) == (server.spec, server.process, server.listening, server.ended)
    assert "t0ken" not in repr(LISTENING)
    server.forget_listening()
    assert server.listening is None


def test_the_first_end_stands(server: Server) -> None:
    """Who cancels a server that ends by itself meanwhile changes nothing."""
    assert server.record_end(ENDED)
    assert not server.record_end(Ended(why="cancelled", at=61.0))
    assert ENDED == server.ended


def test_nothing_is_written_where_the_folder_is_gone(server: Server) -> None:
    """A server whose folder was removed makes no other."""
    os.rename(server.path, server.path + ".away")
    assert not server.record_end(ENDED)
    assert not os.path.exists(server.path)


def test_names_are_sorted_by_when_they_were_made(store: Store) -> None:
    """And what has no such name is no server."""
    names = [new_name("b", 1e9, "ffff"), new_name("a", 1e9 + 60, "0000"), new_name("c-d", 1e9 + 61, "0000")]
    for name in [*reversed(names), "something", ".x"]:
        os.makedirs(f"{store.serving}/{name}")
    assert names == server_names(store)


def test_a_part_of_a_name_is_enough_if_it_is_of_one(store: Store) -> None:
    """As with runs; a part that is also a run's is the run's."""
    first, second = (new_server(store, title, SPEC) for title in ("caption", "motion"))
    assert first.path == getattr(find_server(store, "caption"), "path", None)
    assert find_server(store, "nothing") is None
    with pytest.raises(StoreError, match="more than one server"):
        find_server(store, "20010909")
    os.makedirs(f"{store.runs}/20261123-101500-motion-abcdef")
    assert server_meant(store, "motion") is None
    assert second.path == getattr(server_meant(store, second.path), "path", None)


@pytest.mark.parametrize(
    ("host", "node", "expected"),
    [
        ("127.0.0.1", "gpu0", "ssh -N -L 9000:127.0.0.1:8123 -J me@login.x.edu me@gpu0"),
        ("0.0.0.0", "gpu0", "ssh -N -L 9000:gpu0:8123 me@login.x.edu"),
        ("127.0.0.1", "", "ssh -N -L 9000:127.0.0.1:8123 me@login.x.edu"),
    ],
)
def test_the_tunnel_goes_through_the_login_host(host: str, node: str, expected: str) -> None:
    """To the node; where the server listens beyond it, without ssh to nodes."""
    way = Way(login="login.x.edu", node=node, user="me", port=9000)
    assert expected == tunnel_command(way, msgspec.structs.replace(LISTENING, host=host))
    assert url_of(9000, LISTENING) == "http://127.0.0.1:9000/?token=t0ken"


def test_a_port_that_is_taken_here_is_not_proposed() -> None:
    """Another one is."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert port != free_port(port)
    assert port == free_port(port)


def standing(server: Server, seen: Seen) -> Standing:
    """Of a value."""
    return Standing(server=server, spec=SPEC, seen=seen)


def test_why_it_waits_is_said_in_words(server: Server) -> None:
    """With the job's number."""
    assert "job 7 is pending, Priority: other jobs come first" == waiting_line(
        standing(server, Seen(job=JOB, alive=True, row=row("PENDING")))
    )
    assert "job 7 starts on gpu0" == waiting_line(standing(server, Seen(job=JOB, alive=True, process=PROCESS)))
    assert "" == waiting_line(standing(server, Seen(job=JOB, alive=None)))


def test_the_list_has_a_line_for_each(server: Server) -> None:
    """Where it is, since when, and what ends it; of one that has ended, why."""
    now = datetime.datetime.fromtimestamp(100.0, datetime.UTC)
    seen = [
        Seen(job=JOB, row=row("PENDING"), alive=True),
        Seen(job=JOB, process=PROCESS, listening=LISTENING, alive=True),
        Seen(job=JOB, process=PROCESS, ended=ENDED),
        Seen(job=JOB, process=PROCESS, alive=False),
    ]
    lines = [re.split(r" {2,}", line.strip()) for line in server_lines([standing(server, one) for one in seen], now)]
    assert ["server", "what", "state", "where", "since", "ends"] == lines[0]
    assert ["queued", "pending, Priority: other jobs come first"] == lines[1][2:4]
    assert ["ready", "gpu0:8123"] == lines[2][2:4]
    assert lines[2][5].endswith(" or 30 min idle")
    assert ["idle", "gpu0"] == lines[3][2:4]
    assert ["lost", "gpu0"] == lines[4][2:4]
    assert not any("t0ken" in cell for line in lines for cell in line)


def test_what_is_printed_of_one_that_listens_can_be_typed(server: Server) -> None:
    """The tunnel, the address, how to look and how to end it, each on a line of its own."""
    way = Way(login="l", node="gpu0", user="me", port=9000)
    lines = [str(line).strip() for line in ready_lines(server, way, LISTENING, PROCESS)]
    assert tunnel_command(way, LISTENING) in lines
    assert url_of(9000, LISTENING) in lines
    assert any(
        line.endswith(f"hpcurate cancel {server.name} store={server.path.split('/serving/')[0]}") for line in lines
    )
