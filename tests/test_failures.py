"""Failures by name (I6, I14): one policy for each ending, and what the next attempt of a shard does."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.failures import AGAINST, Against, AttemptEnd, DeadLetter, Ending, Verdict, judge


def end(ending: str, *in_flight: str, detail: str = "") -> AttemptEnd:
    """How an attempt ended."""
    return AttemptEnd(attempt=1, ending=Ending(ending), in_flight=in_flight, detail=detail)


GAVE_UP = "3 attempts ended without a result"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], Verdict()),
        ([end("free")] * 9, Verdict()),
        ([end("free", "a")], Verdict()),
        ([end("dead")], Verdict(isolate=True)),
        ([end("crash", "a", "b")], Verdict(isolate=True)),
        ([end("crash", "a", detail="SIGSEGV")], Verdict(isolate=True, poison={"a": "SIGSEGV"})),
        ([end("oom", "a")], Verdict(isolate=True, poison={"a": "its stage process ended: oom"})),
        (
            [end("crash", "a", detail="x"), end("timeout", "b", detail="y")],
            Verdict(isolate=True, poison={"a": "x", "b": "y"}),
        ),
        (
            [end("crash", name, detail="x") for name in "abcd"],
            Verdict(isolate=True, poison=dict.fromkeys("abcd", "x")),
        ),
        ([end("dead")] * 2 + [end("free")], Verdict(isolate=True)),
        ([end("error")] * 3, Verdict(isolate=True, exhausted=GAVE_UP)),
        ([end("dead"), end("crash"), end("oom", "a", "b")], Verdict(isolate=True, exhausted=GAVE_UP)),
    ],
)
def test_the_history_decides_the_next_attempt(history: list[AttemptEnd], expected: Verdict) -> None:
    """Retry, isolate, single out, or give up after three that named nobody."""
    assert expected == judge(history, 3)


def test_every_ending_has_one_policy() -> None:
    """No row is missing, and handing back counts against nothing."""
    assert set(Ending) == set(AGAINST)
    assert {Ending.FREE, Ending.STORE} == {ending for ending in Ending if AGAINST[ending] is Against.NOTHING}


@pytest.mark.parametrize(
    ("ending", "in_flight", "attempts"), [*itertools.product(Ending, [(), ("a",), ("a", "b")], [1, 2, 3])]
)
def test_one_ending_three_times(ending: Ending, in_flight: tuple[str, ...], attempts: int) -> None:
    """Every ending × nothing, one or several in flight × every patience."""
    verdict = judge([end(ending.value, *in_flight)] * 3, attempts)
    nothing, culprit = AGAINST[ending] is Against.NOTHING, len(in_flight) == 1
    assert (not nothing, {"a"} if culprit and not nothing else set()) == (verdict.isolate, set(verdict.poison))
    assert (not nothing and not culprit) is bool(verdict.exhausted)


ends = st.builds(
    lambda ending, in_flight: end(ending.value, *in_flight),
    st.sampled_from(Ending),
    st.lists(st.sampled_from("abc"), max_size=2, unique=True),
)


@given(st.lists(ends, max_size=10), st.integers(1, 6))
def test_the_order_of_a_history_decides_nothing(history: list[AttemptEnd], attempts: int) -> None:
    """Whom it names and whether it is over: only what happened counts, not when."""
    forward, backward = judge(history, attempts), judge(reversed(history), attempts)
    assert (forward.isolate, set(forward.poison), forward.exhausted) == (
        backward.isolate, set(backward.poison), backward.exhausted,
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
