"""The shard claimed ahead: begun once, or handed back once, and never both."""

from __future__ import annotations

import itertools
import threading

import msgspec
import pytest

from hpcurate.failures import Blame, FailureKind
from hpcurate.stage_process.messages import ShardJob
from hpcurate.store.claims import Claim
from hpcurate.store.lists import ShardLine
from hpcurate.system.processes import ProcessIdentity
from hpcurate.verdict import Verdict
from hpcurate.worker.next_shard import Attempt, NextShard
from hpcurate.worker.picker import Pick

JOB = ShardJob(shard="s", directory="d", ref="s", root="r", inputs=[], batch_size=1)
WHO = ProcessIdentity(host="h", pid=1, start=1)
PICK = Pick(ShardLine("s", 1.0, 1, ()), Claim(shard="s", attempt=1, nonce="n", worker="w", process=WHO))
PLAIN = Attempt(PICK, JOB, Verdict())


def next_shard(attempt: Attempt | None = PLAIN, may_begin: bool = True) -> NextShard:
    """One that claims this."""
    return NextShard(threading.Lock(), lambda before: attempt, lambda: may_begin)


def test_what_is_begun_is_left_to_its_slot() -> None:
    """The worker drains meanwhile: what is in work may be finished."""
    ahead = next_shard()
    assert JOB == ahead.claim()
    assert ahead.begin()
    assert ahead.take(unless_begun=True) is None
    taken = ahead.take()
    assert taken is not None
    assert taken.begun
    assert (None, False) == (ahead.take(), ahead.begun)


def test_what_was_handed_back_is_not_begun() -> None:
    """Somebody else may have it by now."""
    ahead = next_shard()
    ahead.claim()
    assert ahead.take(unless_begun=True) is not None
    assert not ahead.begin()
    assert ahead.take() is None


def test_who_is_to_leave_begins_nothing() -> None:
    """It stays where it is, to be handed back."""
    ahead = next_shard(may_begin=False)
    ahead.claim()
    assert not ahead.begin()
    assert ahead.take(unless_begun=True) is not None


def test_nothing_is_left_to_claim() -> None:
    """At the end of a stage."""
    ahead = next_shard(None)
    assert ahead.claim() is None
    assert not ahead.begin()


@pytest.mark.parametrize(
    ("isolate", "exhausted", "whole"), [*itertools.product([True, False], [True, False], [True, False])]
)
def test_what_may_be_prepared_beside_another(isolate: bool, exhausted: bool, whole: bool) -> None:
    """Whatever else was claimed waits for its turn, unprepared."""
    attempt = Attempt(
        PICK,
        msgspec.structs.replace(JOB, whole=whole),
        Verdict(isolate=isolate, exhausted=Blame(FailureKind.CRASH, "x") if exhausted else None),
    )
    ahead = next_shard(attempt)
    assert (JOB if not (isolate or exhausted or whole) else None) == ahead.claim()
    assert attempt == ahead.take()
