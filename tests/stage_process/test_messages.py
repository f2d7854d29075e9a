"""Messages between supervisor and stage process: what is sent is what is received."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from hpcurate.failures import Blame, Ending, FailureKind
from hpcurate.spec import StageSpec
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.channel import Channel, ChannelClosed, NoMessage
from hpcurate.stage_process.messages import (
    Broken,
    Done,
    Hello,
    InWork,
    Message,
    NodeSetup,
    Ready,
    Refused,
    ShardJob,
    decode,
    encode,
)
from hpcurate.store.stats import ShardCounts
from hpcurate.system.processes import Watched

ODD = "\udcff\n漢"
"""Names come from file names, which are any bytes."""
WORKER = WorkerInfo(index=3, process=1, cpus=2, cores=(4, 5), gpus=("0",))
MADE = NodeSetup(path="/disk/made", copied_files=2, copied_bytes=10, seconds=0.5)
MESSAGES: list[Message] = [
    Hello(
        stage="cut",
        spec=StageSpec(target="engine_stages:Double", parameters={"sleep_s": 0.5}),
        takes="engine_stages:Marked",
        worker=WORKER,
        weights={"m": "/w"},
        node_setup="setup-cut",
        node_folder="/disk",
        variables={"A": ODD},
    ),
    ShardJob(shard="0001-000000", directory="/a", ref="s", root="/r", inputs=[("/x", 0, 3)], batch_size=2),
    ShardJob(
        shard="s",
        directory="/a",
        ref="s",
        root="/r",
        inputs=[],
        batch_size=0,
        whole=True,
        isolate=True,
        tries=3,
        retry_on=("transient", "Busy"),
        timeout=9.5,
        poison={ODD: Blame(FailureKind.CRASH, "x")},
    ),
    Ready(environment={"python": "3.9"}),
    Ready(environment={}, made=MADE, not_imported=["av: missing"]),
    Refused(error="ValueError", message=ODD),
    InWork(shard="s", tasks=(ODD, "b")),
    InWork(shard="s", tasks=(), pause=1.5),
    Done(
        counts=ShardCounts(tasks_in=3, passed=2, failed=1, errors={"ValueError": 1}, reasons={ODD: 1}), environment={}
    ),
    Broken(error="ValueError", message="no", traceback="…"),
    Broken(kind=Ending.STORE, error="StoreFailed", message="disk full"),
    Broken(kind=Ending.OOM, error="MemoryError", message="", peak_mb=812),
]


def test_every_message_is_in_the_table() -> None:
    """None is forgotten."""
    assert set(Message.__args__) == {type(message) for message in MESSAGES}  # type: ignore[attr-defined]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_line_and_reads_as_written(message: Message) -> None:
    """Type and content."""
    line = encode(message)
    assert (1, message) == (line.count(b"\n"), decode(line))


@pytest.mark.parametrize(
    "line", [b"{", b"\xff", b'{"type": "InWork"}', b'{"type": "Nobody"}', b"{}", b"17", b"[]", b"null", b"[" * 9999]
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    """Another version, or somebody who prints to a descriptor that is not his."""
    with pytest.raises(ValueError):
        decode(line)


def test_a_channel_keeps_messages_apart_and_in_order() -> None:
    """However they arrive; then the end is seen."""
    ours, theirs = (Channel(end) for end in socket.socketpair())
    for message in MESSAGES:
        ours.send(message)
    ours.close()
    assert MESSAGES == [theirs.receive(1.0) for _ in MESSAGES]
    with pytest.raises(ChannelClosed):
        theirs.receive(1.0)
    theirs.close()


def test_no_message_in_time_is_none() -> None:
    """How a batch that takes too long is noticed."""
    ours, theirs = (Channel(end) for end in socket.socketpair())
    assert None is theirs.receive(0.01)
    ours.send(MESSAGES[-1])
    assert MESSAGES[-1] == theirs.receive(1.0)
    ours.close()
    theirs.close()


def test_what_is_no_message_has_a_type_and_is_shown() -> None:
    """Not a ValueError from anywhere, which ended a worker."""
    end, theirs = socket.socketpair()
    ours = Channel(end)
    theirs.sendall(b"frame 17 of 300\n")
    with pytest.raises(NoMessage, match="frame 17 of 300"):
        ours.receive(1.0)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_process_that_has_ended_is_noticed_although_its_end_is_open(
    pidfd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else holds it. What the process said before is read first."""
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    end, theirs = socket.socketpair()
    with subprocess.Popen(["sleep", "600"]) as process:
        ours = Channel(end, Watched(process.pid))
        assert None is ours.receive(0.01)
        Channel(theirs).send(MESSAGES[-1])
        process.kill()
        assert MESSAGES[-1] == ours.receive()
        with pytest.raises(ChannelClosed, match="its process has ended"):
            ours.receive()
    ours.close()
    theirs.close()
