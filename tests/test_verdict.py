"""What follows for a shard from the endings of its attempts (I6, I14): retry, isolate, ask for more, or give up."""

from __future__ import annotations

import itertools
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.failures import AGAINST, Against, AttemptEnd, Blame, Ending, FailureKind, explained
from hpcurate.verdict import Allowance, Limits, Verdict, judge

LIMITS = Limits(
    ordinary=Allowance(memory_mb=419, seconds=600),
    most=Allowance(memory_mb=1676, seconds=3600),
    here=Allowance(memory_mb=419, seconds=600),
)
KILLED = "its worker was killed 2 times while this task alone was in work; by what is not known"


def end(ending: str, *in_flight: str, detail: str = "", shared: bool = False, **had: float) -> AttemptEnd:
    """How an attempt ended."""
    more = {"memory_mb": int(had.get("mb", 0)), "peak_mb": int(had.get("peak", 0)), "seconds": had.get("s", 0.0)}
    return AttemptEnd(attempt=1, ending=Ending(ending), in_flight=in_flight, detail=detail, shared=shared, **more)


def blame(kind: str, why: str) -> Blame:
    """Of a task."""
    return Blame(FailureKind(kind), why)


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
        (
            [end("dead", "a"), end("dead"), end("dead", "a")],
            Verdict(isolate=True, alone=True, poison={"a": blame("lost", KILLED)}),
        ),
        ([end("crash", "a", "b")], Verdict(isolate=True)),
        ([end("crash", "a", detail="SIGSEGV")], Verdict(isolate=True)),
        (
            [end("crash", "a", "b"), end("crash", "a"), end("crash", "a", detail="SIGSEGV")],
            Verdict(isolate=True, poison={"a": blame("crash", "SIGSEGV")}),
        ),
        (
            [end("crash", "a", detail="SIGBUS"), end("dead", "a")],
            Verdict(isolate=True, alone=True, poison={"a": blame("crash", "SIGBUS")}),
        ),
        ([end("crash", name, detail="x") for name in "abc"], Verdict(isolate=True)),
        (
            [end("crash", name, detail="x") for name in "abcd"],
            Verdict(isolate=True, poison={name: blame("crash", "x") for name in "abcd"}),
        ),
        ([end("timeout", "b", detail="y")], Verdict(isolate=True, patience=2)),
        (
            [end("timeout", "a", "b"), end("timeout", "b", detail="y")],
            Verdict(isolate=True, patience=2, poison={"b": blame("timeout", "y")}),
        ),
        ([end("error", "a", detail="x")], Verdict(isolate=True, poison={"a": blame("exception", "x")})),
        ([end("dead"), end("crash"), end("oom", "a", "b", mb=1676)], Verdict(isolate=True, alone=True)),
        (
            [end("error", detail="x"), end("error", detail="y"), end("error")],
            Verdict(
                isolate=True,
                exhausted=blame("exception", "3 attempts ended without a result (error); the last: y"),
            ),
        ),
    ],
)
def test_the_history_decides_the_next_attempt(history: list[AttemptEnd], expected: Verdict) -> None:
    """Retry, isolate, single out, or give up after three that named nobody; nothing here asks for more."""
    assert expected == judge(history, 3)


@pytest.mark.parametrize(
    ("history", "needs", "dead"),
    [
        ([end("oom", "a", "b")], 0, ""),
        ([end("oom", "a")], 0, ""),
        ([end("oom", "a"), end("oom", "a", mb=419)], 838, ""),
        ([end("dead"), end("oom", "a")], 838, ""),
        ([end("oom"), end("oom", mb=419)], 838, ""),
        ([end("oom"), end("oom", "a", mb=838), end("oom", "b", mb=419)], 1676, ""),
        ([end("oom"), end("oom", "a", mb=1000)], 1676, ""),
        (
            [end("oom"), end("oom", "a", mb=419), end("oom", "a", mb=1676, peak=1670, detail="says so")],
            0,
            "killed for memory; 1670 of 1676 MB; says so",
        ),
        ([end("oom", "a", mb=419, shared=True), end("oom", "a", mb=419)], 0, ""),
    ],
)
def test_who_ran_out_of_memory_alone_gets_twice_as_much_up_to_the_most(
    history: list[AttemptEnd], needs: int, dead: str
) -> None:
    """Before, a task that needed twice the limit was a dead letter. The first time it may be the fault of others."""
    verdict = judge(history, 9, LIMITS)
    assert (needs, {"a": blame("oom", dead)} if dead else {}) == (verdict.needs.memory_mb, verdict.poison)
    assert (True, True, None) == (verdict.isolate, verdict.alone, verdict.exhausted)


def test_where_no_round_has_more_memory_a_task_is_a_dead_letter_after_one_try_alone() -> None:
    """As in a test without limits; and what another task of the shard needs is not forgotten."""
    twice = [end("oom", "a"), end("oom", "a", detail="x")]
    assert {"a": blame("oom", "killed for memory; x")} == judge(twice, 5).poison
    verdict = judge([end("oom"), end("oom", "a", mb=1676), end("oom", "b", mb=419)], 9, LIMITS)
    assert (["a"], 838) == (list(verdict.poison), verdict.needs.memory_mb)


@pytest.mark.parametrize(
    ("cut", "needs", "stuck"),
    [
        ([], 0, False),
        ([0.0], 0, False),
        ([200.0], 400, False),
        ([200.0, 550.0], 1100, False),
        ([1800.0], 3600, False),
        ([1900.0], 3600, False),
        ([1900.0, 3500.0], 3600, True),
    ],
)
def test_who_ran_out_of_time_gets_more_up_to_the_most(cut: list[float], needs: float, stuck: bool) -> None:
    """And is reported before the third try that could only end the same way. No task is to blame."""
    verdict = judge([end("walltime", "a", s=seconds) for seconds in cut], 1, LIMITS)
    assert (needs, stuck, {}, None, False) == (
        verdict.needs.seconds, bool(verdict.stuck), verdict.poison, verdict.exhausted, verdict.isolate,
    )  # fmt: skip


def test_without_an_end_of_time_nobody_is_stuck() -> None:
    """On a machine without a scheduler, or in a partition without a limit."""
    limits = Limits(ordinary=Allowance(seconds=600), here=Allowance(seconds=600))
    verdict = judge([end("walltime", s=seconds) for seconds in (600, 1200, 2400)], 1, limits)
    assert (4800.0, "") == (verdict.needs.seconds, verdict.stuck)


MB, S = (0, 419, 420, 838, 1676), (0.0, 600.0, 601.0, 3600.0)


@pytest.mark.parametrize(("mb", "seconds"), [*itertools.product(MB, S)])
def test_ordinary_rounds_take_what_needs_no_more_and_others_only_what_does(mb: int, seconds: float) -> None:
    """Every need × an ordinary round, and one with more memory, more time, or both."""
    needs = Allowance(memory_mb=mb, seconds=seconds)
    special = mb > 419 or seconds > 600
    assert LIMITS.takes(needs) is not special
    for more in (Allowance(memory_mb=838, seconds=600), Allowance(memory_mb=419, seconds=3600), LIMITS.most):
        enough = mb <= more.memory_mb and seconds <= more.seconds
        assert Limits(LIMITS.ordinary, LIMITS.most, more).takes(needs) is (special and enough)


@pytest.mark.parametrize(
    ("ending", "in_flight", "attempts"), [*itertools.product(Ending, [(), ("a",), ("a", "b")], [1, 2, 3])]
)
def test_one_ending_three_times(ending: Ending, in_flight: tuple[str, ...], attempts: int) -> None:
    """Every ending × nothing, one or several in flight × every patience."""
    verdict, against = judge([end(ending.value, *in_flight)] * 3, attempts), AGAINST[ending]
    counts, culprit = against in (Against.TASK, Against.SHARD), len(in_flight) == 1
    assert (counts, {"a"} if culprit and counts else set()) == (verdict.isolate, set(verdict.poison))
    assert (counts and ending is not Ending.DEAD and not culprit) is bool(verdict.exhausted)


@pytest.mark.parametrize(
    ("ending", "in_flight", "times"), [*itertools.product(Ending, [(), ("a",), ("a", "b")], [1, 2, 9])]
)
def test_what_was_shared_with_another_shard_leads_to_isolation_alone(
    ending: Ending, in_flight: tuple[str, ...], times: int
) -> None:
    """However often: it blames no task and does not count, beside others either."""
    shared, whole = [end(ending.value, *in_flight, shared=True)] * times, end("crash", "b", "c")
    counts = AGAINST[ending] in (Against.TASK, Against.SHARD)
    alone, patience = ending in (Ending.DEAD, Ending.OOM), 1 + (ending is Ending.TIMEOUT)
    assert Verdict(isolate=counts, alone=alone, patience=patience) == judge(shared, 1)
    assert Verdict(isolate=True, alone=alone, patience=patience) == judge([*shared, whole], 2)
    exhausted = judge([*shared, whole, whole], 2).exhausted
    assert exhausted is not None
    assert exhausted.why.startswith("2 attempts")


def test_isolated_attempts_after_a_shared_one_name_their_task() -> None:
    """So that a task which kills whatever it runs in is found, and its neighbour is not."""
    history = [end("crash", "a", shared=True), *[end("crash", "b", detail="SIGSEGV")] * 2]
    assert Verdict(isolate=True, poison={"b": blame("crash", "SIGSEGV")}) == judge(history, 5)


@pytest.mark.parametrize(("in_flight", "ahead"), [*itertools.product([None, (), ("a",)], [True, False])])
def test_a_death_before_a_shard_that_was_claimed_ahead_had_begun(
    in_flight: tuple[str, ...] | None, ahead: bool
) -> None:
    """One that noted nothing may have been in nobody's hands: it condemns nobody. One that noted a task ran alone."""
    found = explained(end("dead"), None, "7", in_flight, ahead)
    assert (ahead and in_flight is None) is found.shared
    if found.shared:
        assert not judge([found] * 9, 1).exhausted


@given(st.lists(st.sampled_from([Ending.DEAD, Ending.LOST, Ending.FREE, Ending.STORE, Ending.WALLTIME]), max_size=20))
def test_nobody_is_given_up_without_evidence_of_why(endings: list[Ending]) -> None:
    """Whatever died, was lost, cut off or handed back, and however often: no task of the shard is a dead letter."""
    verdict = judge([end(ending.value, s=3600.0) for ending in endings], 1, LIMITS)
    assert (None, {}) == (verdict.exhausted, verdict.poison)


ends = st.builds(
    lambda ending, in_flight, mb: end(ending.value, *in_flight, mb=mb),
    st.sampled_from(Ending),
    st.lists(st.sampled_from("abc"), max_size=2, unique=True),
    st.sampled_from([0, 419, 838, 1676]),
)


@given(st.lists(ends, max_size=10), st.integers(1, 6))
def test_what_was_handed_back_changes_no_verdict(history: list[AttemptEnd], attempts: int) -> None:
    """Preemption says nothing about the work."""
    counted = [one for one in history if one.ending is not Ending.FREE]
    assert judge(counted, attempts, LIMITS) == judge(history, attempts, LIMITS)


@given(st.lists(ends, max_size=10), ends, st.integers(1, 6))
def test_a_verdict_is_never_taken_back(history: list[AttemptEnd], more: AttemptEnd, attempts: int) -> None:
    """One more attempt names nobody innocent, and what was given up stays so."""
    before, after = judge(history, attempts, LIMITS), judge([*history, more], attempts, LIMITS)
    assert (set(before.poison) - set(after.poison), before.isolate and not after.isolate) == (set(), False)
    assert not (before.exhausted and not after.exhausted)
    assert not (before.stuck and not after.stuck)


@given(st.lists(ends, min_size=20, max_size=40))
def test_every_history_that_counts_ends(history: list[AttemptEnd]) -> None:
    """A task that was to blame four times is tried no more, whatever for: so attempts come to an end (I14)."""
    full = [
        msgspec.structs.replace(one, memory_mb=1676) for one in history if AGAINST[one.ending] is not Against.NOTHING
    ]
    verdict = judge(full, 99, LIMITS)
    named = Counter(one.in_flight[0] for one in full if len(one.in_flight) == 1 and one.ending is not Ending.WALLTIME)
    assert {task for task, times in named.items() if times >= 4} <= set(verdict.poison)
