"""Failures by name (I6, I14): what there is, one policy for each, and as what an attempt has ended."""

from __future__ import annotations

import itertools
import json

import pytest

from hpcurate.failures import (
    AGAINST,
    POLICIES,
    Against,
    AttemptEnd,
    DeadLetter,
    Ending,
    FailureKind,
    JobEnd,
    concluded,
    explained,
)


def test_every_kind_has_one_policy() -> None:
    """No row is missing, and none has an empty cell."""
    assert set(FailureKind) == set(POLICIES)
    assert all(policy.seen and policy.then and policy.ends for policy in POLICIES.values())


def test_every_ending_is_of_a_kind_and_only_evidence_counts() -> None:
    """The mere death of a worker never counts against a shard; time that was over asks for more, and blames nobody."""
    assert set(Ending) == set(AGAINST)
    assert all(isinstance(ending.kind, FailureKind) for ending in Ending)
    of = {against: {ending for ending in Ending if AGAINST[ending] is against} for against in Against}
    assert {Ending.FREE, Ending.STORE, Ending.LOST} == of[Against.NOTHING]
    assert {Ending.DEAD, Ending.TIMEOUT} == of[Against.TASK]
    assert {Ending.OOM, Ending.CRASH, Ending.ERROR} == of[Against.SHARD]
    assert {Ending.WALLTIME} == of[Against.ROUND]


# -- has it ended, and as what? ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alive", "round_over", "lease_over"), [*itertools.product([True, False, None], [True, False], [True, False])]
)
def test_as_what_an_attempt_without_a_marker_has_ended(alive: bool | None, round_over: bool, lease_over: bool) -> None:
    """A process that is seen gone died there; not knowing is no reason; who is seen alive is not declared dead."""
    if alive is False:
        expected: Ending | None = Ending.DEAD
    else:
        expected = Ending.LOST if lease_over or (round_over and alive is None) else None
    assert expected is concluded(alive, round_over=round_over, lease_over=lease_over)


@pytest.mark.parametrize("seen", [Ending.DEAD, Ending.LOST])
@pytest.mark.parametrize("said", [None, *Ending])
def test_the_schedulers_word_outweighs_what_was_seen(seen: Ending, said: Ending | None) -> None:
    """And the note of what was in work is kept in any case."""
    word = JobEnd(ending=said, memory_mb=419, peak_mb=816) if said else None
    found = explained(AttemptEnd(attempt=3, ending=seen), word, "12_3", ("a",))
    assert (3, said or seen, ("a",)) == (found.attempt, found.ending, found.in_flight)
    assert ("12_3" in found.detail) is (said is not None)
    assert ((419, 816) if said else (0, 0)) == (found.memory_mb, found.peak_mb)


@pytest.mark.parametrize("task", [None, {"id": "a", "path": "\udcff.mp4"}])
def test_a_dead_letter_is_one_line_with_its_task(task: dict[str, str] | None) -> None:
    """Whatever bytes its names have."""
    letter = DeadLetter(id="a\n\udcff", stage="cut", error="ValueError", message="no\nframes", task=task)
    line = letter.line()
    assert (1, b"\n", letter) == (line.count(b"\n"), line[-1:], DeadLetter(**json.loads(line)))
