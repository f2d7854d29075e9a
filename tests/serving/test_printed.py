"""What processes print, as lines."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from hpcurate.serving.printed import LONGEST, Printed


class Heard:
    """All lines, and what wrote them."""

    def __init__(self, name: str = "") -> None:
        self.lines: list[str] = []
        self.printed = Printed(self.lines.append, name)

    def print(self, data: bytes) -> None:
        """As a process does."""
        os.write(self.printed.descriptor, data)


@pytest.fixture
def heard() -> Iterator[Heard]:
    """Nothing yet."""
    found = Heard()
    yield found
    found.printed.close()


def test_all_that_was_printed_is_heard_at_once(heard: Heard) -> None:
    """In order, also a line without its end; what comes then is another line."""
    heard.print(b"one\n\ntwo\nthr")
    heard.printed.hear_all()
    heard.print(b"ee\n")
    heard.printed.hear_all()
    assert ["one", "two", "thr", "ee"] == heard.lines


def test_of_a_bar_the_last_and_of_a_long_line_the_beginning(heard: Heard) -> None:
    """What is no text is replaced."""
    heard.print(b"10 %\r20 %\n" + b"x" * 3 * LONGEST + b"\n\xff\xfe\n")
    heard.printed.hear_all()
    assert ["20 %", "x" * LONGEST, "\ufffd\ufffd"] == heard.lines


def test_it_ends_with_the_last_process_that_has_it() -> None:
    """And all of it is heard by then."""
    heard = Heard("to its end")
    another = os.dup(heard.printed.descriptor)
    heard.printed.close()
    os.write(another, b"late\n")
    os.close(another)
    thread = next((one for one in threading.enumerate() if one.name == "to its end"), None)
    if thread:
        thread.join(10)
    assert ["late"] == heard.lines
