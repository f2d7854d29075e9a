"""Dead letters in groups: those with the same cause, whatever the task."""

from __future__ import annotations

import pytest
from reports import dead_letter

from hpcurate.report.dead_letters import grouped, pattern_of
from hpcurate.store.commits import read_dead_letter

PATTERNS = [
    ("", ""),
    ("/data/a b.mp4: moov atom at 123", "PATH b.mpN: moov atom at N"),
    ("cannot open 'x.mp4'", "cannot open '…'"),
    ("task 0b5c6a8e-1111-5222-8333-abcdefabcdef at 0xdeadbeef", "task ID at ID"),
    ("3.5 of 7 GB", "N of N GB"),
    ("first\nsecond", "first"),
]


@pytest.mark.parametrize(("message", "pattern"), PATTERNS)
def test_a_pattern_leaves_out_what_differs(message: str, pattern: str) -> None:
    """Paths, names in quotes, ids, numbers, all but the first line."""
    assert pattern == pattern_of(message)


def test_groups_are_largest_first_and_exact() -> None:
    """Every dead letter is in one group."""
    same = [dead_letter("a", f"x{k}.mp4: bad byte {k}", f"x{k}.mp4") for k in range(3)]
    groups = grouped([dead_letter("b", "other"), *same])
    assert [(g.stage, g.pattern, g.count) for g in groups] == [("a", "FILE: bad byte N", 3), ("b", "other", 1)]
    assert groups[0].example is same[0]


def test_a_row_may_hold_a_name_that_is_no_text() -> None:
    """A lone surrogate, as Python has bytes that are no UTF-8."""
    row = b'{"id":"1","stage":"a","error":"E","message":"m","traceback":"","task":{"path":"\\udcff.txt"}}'
    assert read_dead_letter(row).task == {"path": "\udcff.txt"}


def test_a_dead_letter_of_an_earlier_release_is_read() -> None:
    """It has no number of its row."""
    old = b'{"id":"a","stage":"cut","error":"E","message":"m","traceback":"","task":{"id":"a"}}'
    assert (None, {"id": "a"}) == (read_dead_letter(old).row, read_dead_letter(old).task)
