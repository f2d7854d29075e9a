"""Messages of one cause: only what differs among them is masked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.report.patterns import LONGEST, pattern_of

PATTERNS = [
    ("", ""),
    ("/data/a b.mp4: moov atom at 123", "PATH b.mpN: moov atom at N"),
    ("cannot open 'x.mp4'", "cannot open '…'"),
    ("cannot open b'x.mp4'", "cannot open '…'"),
    ("the file's end isn't 'x'", "the file's end isn't '…'"),
    ("task 0b5c6a8e-1111-5222-8333-abcdefabcdef at 0xdeadbeef", "task ID at ID"),
    ("3.5 of 7 GB", "N of N GB"),
    ("first\nsecond", "first"),
]


@pytest.mark.parametrize(("message", "masked"), PATTERNS)
def test_what_may_differ_is_masked(message: str, masked: str) -> None:
    """Paths, names in quotes, ids, numbers; all but the first line is left out."""
    assert masked == pattern_of(message).masked()


@pytest.mark.parametrize(
    ("message", "names", "masked"),
    [
        ("x.mp4: no picture in x.mp4", ["x.mp4"], "FILE: no picture in FILE"),
        ("/v/x.mp4 or x.mp4", ["/v/x.mp4", "x.mp4"], "FILE or FILE"),
        ("every error", ["e", ""], "every error"),
        ("task 1 of 21", ["1"], "task FILE of N"),
        ("a+b? a+b", ["a+b"], "FILE? FILE"),
        ("new\nline.txt has 3\nmore", ["new\nline.txt"], "FILE has N"),
        ("aaa", ["aa"], "aaa"),
    ],
)
def test_the_names_of_the_task_are_masked(message: str, names: list[str], masked: str) -> None:
    """Not where a name, which may be a single letter, is a part of a word."""
    assert masked == pattern_of(message, names).masked()


hostile = st.text(st.sampled_from("ab1/ '\"\n:…\udcff<0x-fF.") | st.characters(), max_size=40)


@given(hostile, st.lists(hostile, max_size=2))
def test_nothing_is_lost_of_a_single_message(message: str, names: list[str]) -> None:
    """What is the same in all messages is shown: of a single one, all of its first line, or more if a name has two."""
    pattern = pattern_of(message, names)
    shown = pattern.masked([True] * len(pattern.kinds))
    assert message.startswith(shown)
    assert shown.startswith("".join(message[:LONGEST].splitlines()[:1]))


@given(hostile, hostile, st.lists(hostile, max_size=2))
def test_messages_of_one_form_differ_in_nothing_but_what_is_masked(one: str, other: str, names: list[str]) -> None:
    """With the values of the one, the form of the other is the one."""
    first, second = pattern_of(one, names), pattern_of(other, names)
    if first.form == second.form:
        same = [a == b for a, b in zip(first.values, second.values, strict=True)]
        assert first.masked(same) == second.masked(same)
