"""Failures by name (I6, I14): one policy for each ending, and what the next attempt of a shard does."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.failures import (
    AGAINST,
    DEATHS_ALONE,
    Against,
    AttemptEnd,
    DeadLetter,
    Ending,
    Verdict,
    concluded,
    explained,
    judge,
)


def end(ending: str, *in_flight: str, detail: str = "", shared: bool = False) -> AttemptEnd:
    """How an attempt ended."""
    return AttemptEnd(attempt=1, ending=Ending(ending), in_flight=in_flight, detail=detail, shared=shared)


KILLED = "its worker was killed 2 times while this task alone was in work; by what is not known"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], Verdict()),
        ([end("free")] * 9, Verdict()),
        ([end("free", "a")], Verdict()),
        ([end("lost")] * 9, Verdict()),
        ([end("lost", "a")] * 9, Verdict()),
        ([end("store", "a")] * 9, Verdict()),
        ([end("dead")] * 9, Verdict(isolate=True, alone=True)),
        ([end("dead", "a")], Verdict(isolate=True, alone=True)),
        ([end("dead", "a"), end("dead", "b")], Verdict(isolate=True, alone=True)),
        ([end("dead", "a"), end("dead"), end("dead", "a")], Verdict(isolate=True, alone=True, poison={"a": KILLED})),
        ([end("crash", "a", "b")], Verdict(isolate=True)),
        ([end("crash", "a", detail="SIGSEGV")], Verdict(isolate=True, poison={"a": "SIGSEGV"})),
        ([end("oom", "a")], Verdict(isolate=True, alone=True, poison={"a": "killed for memory"})),
        (
            [end("crash", "a", detail="x"), end("timeout", "b", detail="y")],
            Verdict(isolate=True, poison={"a": "x", "b": "y"}),
        ),
        (
            [end("crash", name, detail="x") for name in "abcd"],
            Verdict(isolate=True, poison=dict.fromkeys("abcd", "x")),
        ),
        (
            [end("dead", "a"), end("oom", "a", detail="x")],
            Verdict(isolate=True, alone=True, poison={"a": "killed for memory: x"}),
        ),
        ([end("dead"), end("crash"), end("oom", "a", "b")], Verdict(isolate=True, alone=True)),
        (
            [end("error", detail="x"), end("error", detail="y"), end("error")],
            Verdict(isolate=True, exhausted="3 attempts ended without a result (error); the last: y"),
        ),
        (
            [end("oom", detail="x"), end("crash"), end("oom")],
            Verdict(
                isolate=True,
                alone=True,
                exhausted="3 attempts ended without a result (crash, oom); the last: killed for memory: x",
            ),
        ),
    ],
)
def test_the_history_decides_the_next_attempt(history: list[AttemptEnd], expected: Verdict) -> None:
    """Retry, isolate, single out, or give up after three that named nobody."""
    assert expected == judge(history, 3)


def test_every_ending_has_one_policy() -> None:
    """No row is missing; only what is evidence counts, and the mere death of a worker never against a shard."""
    assert set(Ending) == set(AGAINST)
    nothing = {ending for ending in Ending if AGAINST[ending] is Against.NOTHING}
    assert {Ending.FREE, Ending.STORE, Ending.LOST} == nothing
    assert {Ending.DEAD} == {ending for ending in Ending if AGAINST[ending] is Against.TASK}


@pytest.mark.parametrize(
    ("ending", "in_flight", "attempts"), [*itertools.product(Ending, [(), ("a",), ("a", "b")], [1, 2, 3])]
)
def test_one_ending_three_times(ending: Ending, in_flight: tuple[str, ...], attempts: int) -> None:
    """Every ending × nothing, one or several in flight × every patience."""
    verdict, against = judge([end(ending.value, *in_flight)] * 3, attempts), AGAINST[ending]
    counts, culprit = against is not Against.NOTHING, len(in_flight) == 1
    assert (counts, {"a"} if culprit and counts else set()) == (verdict.isolate, set(verdict.poison))
    assert (against is Against.SHARD and not culprit) is bool(verdict.exhausted)


@pytest.mark.parametrize(
    ("ending", "in_flight", "times"), [*itertools.product(Ending, [(), ("a",), ("a", "b")], [1, 2, 9])]
)
def test_what_was_shared_with_another_shard_leads_to_isolation_alone(
    ending: Ending, in_flight: tuple[str, ...], times: int
) -> None:
    """However often: it blames no task and does not count, beside others either."""
    shared, whole = [end(ending.value, *in_flight, shared=True)] * times, end("crash", "b", "c")
    counts = AGAINST[ending] is not Against.NOTHING
    alone = ending in (Ending.DEAD, Ending.OOM)
    assert Verdict(isolate=counts, alone=alone) == judge(shared, 1)
    assert Verdict(isolate=True, alone=alone) == judge([*shared, whole], 2)
    assert judge([*shared, whole, whole], 2).exhausted.startswith("2 attempts")


def test_an_isolated_attempt_after_a_shared_one_names_its_task() -> None:
    """So that a task which kills whatever it runs in is found, and its neighbour is not."""
    history = [end("crash", "a", shared=True), end("crash", "b", detail="SIGSEGV")]
    assert Verdict(isolate=True, poison={"b": "SIGSEGV"}) == judge(history, 5)


@pytest.mark.parametrize(
    ("said", "in_flight", "ahead"),
    [*itertools.product([None, Ending.OOM, Ending.FREE], [None, (), ("a",)], [True, False])],
)
def test_a_death_before_a_shard_that_was_claimed_ahead_had_begun(
    said: Ending | None, in_flight: tuple[str, ...] | None, ahead: bool
) -> None:
    """One that noted nothing may have been in nobody's hands: it condemns nobody. One that noted a task ran alone."""
    found = explained(end("dead"), said, "7", in_flight, ahead)
    assert (ahead and in_flight is None) is found.shared
    if found.shared:
        assert not judge([found] * 9, 1).exhausted


@pytest.mark.parametrize(
    ("ending", "times", "blamed"),
    [(Ending.OOM, 1, True), (Ending.CRASH, 1, True), (Ending.DEAD, 1, False), (Ending.DEAD, DEATHS_ALONE, True)],
)
def test_a_task_that_was_alone_in_work_is_blamed(ending: Ending, times: int, blamed: bool) -> None:
    """At once if it is known why the attempt ended, the second time if it is only known that its worker died."""
    assert blamed is ("a" in judge([end(ending.value, "a")] * times, 5).poison)


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
    found = explained(AttemptEnd(attempt=3, ending=seen), said, "12_3", ("a",))
    assert (3, said or seen, ("a",)) == (found.attempt, found.ending, found.in_flight)
    assert ("12_3" in found.detail) is (said is not None)


@given(st.lists(st.sampled_from([Ending.DEAD, Ending.LOST, Ending.FREE, Ending.STORE]), max_size=20))
def test_nobody_is_given_up_without_evidence_of_why(endings: list[Ending]) -> None:
    """Whatever died, was lost or handed back, and however often: no task of the shard is a dead letter for it."""
    verdict = judge([end(ending.value) for ending in endings], 1)
    assert ("", {}) == (verdict.exhausted, verdict.poison)


ends = st.builds(
    lambda ending, in_flight: end(ending.value, *in_flight),
    st.sampled_from(Ending),
    st.lists(st.sampled_from("abc"), max_size=2, unique=True),
)


@given(st.lists(ends, max_size=10), st.integers(1, 6))
def test_the_order_of_a_history_decides_nothing(history: list[AttemptEnd], attempts: int) -> None:
    """Whom it names and whether it is over: only what happened counts, not when."""
    forward, backward = judge(history, attempts), judge(history[::-1], attempts)
    assert (forward.isolate, set(forward.poison), bool(forward.exhausted)) == (
        backward.isolate, set(backward.poison), bool(backward.exhausted),
    )  # fmt: skip


@given(st.lists(ends, max_size=10), st.integers(1, 6))
def test_what_was_handed_back_changes_no_verdict(history: list[AttemptEnd], attempts: int) -> None:
    """Preemption says nothing about the work."""
    counted = [one for one in history if one.ending is not Ending.FREE]
    assert judge(counted, attempts) == judge(history, attempts)


@given(st.lists(ends, max_size=10), ends, st.integers(1, 6))
def test_a_verdict_is_never_taken_back(history: list[AttemptEnd], more: AttemptEnd, attempts: int) -> None:
    """One more attempt names nobody innocent, and what was given up stays so."""
    before, after = judge(history, attempts), judge([*history, more], attempts)
    assert (set(before.poison) - set(after.poison), before.isolate and not after.isolate) == (set(), False)
    assert not (before.exhausted and not after.exhausted)


@pytest.mark.parametrize("task", [None, {"id": "a", "path": "\udcff.mp4"}])
def test_a_dead_letter_is_one_line_with_its_task(task: dict[str, str] | None) -> None:
    """Whatever bytes its names have."""
    letter = DeadLetter(id="a\n\udcff", stage="cut", error="ValueError", message="no\nframes", task=task)
    line = letter.line()
    assert (1, b"\n", letter) == (line.count(b"\n"), line[-1:], DeadLetter(**json.loads(line)))
