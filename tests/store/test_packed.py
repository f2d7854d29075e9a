"""Values that are rarely looked at, in little memory."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.store.packed import Blocks, Packed, blocks, decoded, encoded

numbers = msgspec.json.Decoder(list[int])


def packed(values: list[int], most: int) -> Blocks[int]:
    """In blocks of so many."""
    found = list(blocks(values, most))
    return Blocks([Packed(encoded(one), numbers.decode) for one in found], [len(one) for one in found])


@given(st.lists(st.integers(0, 9)), st.integers(1, 4))
def test_blocks_are_a_sequence_of_what_went_in(values: list[int], most: int) -> None:
    """Length, order, each place from both ends, slices; equal to what has the same values."""
    found = packed(values, most)
    assert (values, len(values), values[1:3]) == ([*found], len(found), found[1:3])
    assert values == [found[place] for place in range(len(values))]
    assert values[::-1] == [found[-place - 1] for place in range(len(values))]
    assert found == values
    assert found == packed(values, most + 1)
    assert found != packed([*values, 1], most)


def test_sequences_are_joined() -> None:
    """One after the other; the last block that was looked into is not taken for another."""
    found = Blocks.joined([packed([1, 2, 3], 2), packed([], 1), packed([4, 5], 2)])
    assert [1, 2, 3, 4, 5] == [*found]
    assert [5, 1, 3, 4, 2] == [found[place] for place in (4, 0, 2, 3, 1)]


def test_there_is_nothing_behind_the_end() -> None:
    """As with a list."""
    with pytest.raises(IndexError):
        packed([1, 2], 1)[2]


def test_names_that_are_no_text_come_back() -> None:
    """Reasons may hold a file name with any bytes."""
    named = {"darker: a\udcff.png": 1}
    assert named == decoded(msgspec.json.Decoder(dict[str, int]), encoded(named))
