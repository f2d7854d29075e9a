"""The rows of a shard's input: whichever files they are in, and however many are taken at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.errors import StoreFailed
from hpcurate.stage_process import input as taken
from hpcurate.stage_process.input import blocks_of, rows_of
from hpcurate.stage_process.messages import ShardJob


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty rows, and ten of which the last has no end."""
    folder = tmp_path_factory.mktemp("upstream")
    (folder / "whole").write_bytes(b"".join(b"row %d\n" % n for n in range(20)))
    (folder / "cut").write_bytes(b"".join(b"row %d\n" % n for n in range(10))[:-1])
    return folder


def job(path: Path, *ranges: tuple[int, int]) -> ShardJob:
    """A shard of ranges of one file."""
    inputs = [(os.fspath(path), low, high) for low, high in ranges]
    return ShardJob(shard="s", directory="", ref="", root="", inputs=inputs, batch_size=0)


ranges = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda pair: (min(pair), max(pair))), max_size=3
)


@given(ranges=ranges, size=st.integers(0, 9), at_once=st.integers(1, 5))
def test_blocks_have_so_many_rows_and_together_all(
    upstream: Path, ranges: list[tuple[int, int]], size: int, at_once: int
) -> None:
    """In order, and none twice; rows before the first are read in pieces, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taken, "AT_ONCE", at_once)
        blocks = list(blocks_of(job(upstream / "whole", *ranges), size))
        expected = [b"row %d\n" % n for low, high in ranges for n in range(low, high)]
        every = size or len(expected) or 1
        assert [b"".join(expected[at : at + every]) for at in range(0, len(expected), every)] == blocks
        assert [row[:-1] for row in expected] == list(rows_of(job(upstream / "whole", *ranges)))


@pytest.mark.parametrize(("low", "high"), [(0, 10), (3, 10), (9, 10), (12, 15), (0, 99)])
def test_a_row_without_its_end_is_none(upstream: Path, low: int, high: int) -> None:
    """By number, also where it is before the first that is needed."""
    with pytest.raises(StoreFailed, match=rf"cut ends in row 9, and its rows {low} to {high} are needed"):
        list(blocks_of(job(upstream / "cut", (low, high)), 2))
