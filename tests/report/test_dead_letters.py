"""Dead letters in groups: those with the same cause, whatever the task."""

from __future__ import annotations

from reports import dead_letter

from hpcurate.report.dead_letters import grouped
from hpcurate.store.commits import read_dead_letter


def test_groups_are_largest_first_and_exact() -> None:
    """Every dead letter is in one group."""
    same = [dead_letter("a", f"x{k}.mp4: bad byte {k}", f"x{k}.mp4") for k in range(3)]
    groups = grouped([dead_letter("b", "other"), *same])
    assert [(g.stage, g.pattern, g.count) for g in groups] == [("a", "FILE: bad byte N", 3), ("b", "other", 1)]
    assert groups[0].example is same[0]


def test_what_is_the_same_in_a_group_is_shown() -> None:
    """Every number and quoted name was masked, also where all messages had the same: `killed, N of N MB`."""
    same = [dead_letter("a", f"killed: {700 + k} of 600 MB of 'model.bin' at /w/x{k}", f"x{k}.mp4") for k in range(3)]
    (group,) = grouped(same)
    assert "killed: N of 600 MB of 'model.bin' at PATH" == group.pattern


def test_a_row_may_hold_a_name_that_is_no_text() -> None:
    """A lone surrogate, as Python has bytes that are no UTF-8."""
    row = b'{"id":"1","stage":"a","error":"E","message":"m","traceback":"","task":{"path":"\\udcff.txt"}}'
    assert read_dead_letter(row).task == {"path": "\udcff.txt"}


def test_a_dead_letter_of_an_earlier_release_is_read() -> None:
    """It has no number of its row."""
    old = b'{"id":"a","stage":"cut","error":"E","message":"m","traceback":"","task":{"id":"a"}}'
    assert (None, {"id": "a"}) == (read_dead_letter(old).row, read_dead_letter(old).task)
