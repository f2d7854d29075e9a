"""Logs that are read while they grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcurate.report.growing import BLOCK, Growing, start_of


@pytest.mark.parametrize("text", ["", "a\n", "a\nb", "a\nb\n", "a\n\n\nb\n", "a\n" * 9 + "x" * 3 * BLOCK + "\nlast\n"])
@pytest.mark.parametrize("lines", [0, 1, 2, 3, 99])
def test_the_last_lines_are_those_of_tail(tmp_path: Path, text: str, lines: int) -> None:
    """Whatever the end of the file is."""
    path = tmp_path / "log"
    path.write_text(text)
    wanted = text.splitlines(keepends=True)[-lines:] if lines else []
    assert text[start_of(path, lines) :] == "".join(wanted)


def test_only_what_is_new_is_read_in_whole_lines(tmp_path: Path) -> None:
    """A line that is still being written waits; a log that appears later is read from its beginning."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a\nb\nc\nbeg")
    growing = Growing(first_lines=2)
    assert list(growing.news([one])) == [(one, "c\n")]
    assert list(growing.news([one])) == []
    two.write_text("x\ny\nz\n")
    with one.open("ab") as file:
        file.write(b"un\n\xff\nend")
    assert list(growing.news([one, two])) == [(one, "begun\n\\xff\n"), (two, "x\ny\nz\n")]
    one_more = tmp_path / "gone"
    assert list(growing.news([one, two], to_the_end=True)) == [(one, "end")]
    assert list(growing.news([one_more])) == []
