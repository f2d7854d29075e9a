"""Sizes and times as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.errors import ConfigError
from hpcurate.units import duration, hours_text, megabytes, memory_text, memory_value, minutes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500", 500), ("500M", 500), ("500MB", 500), ("500MiB", 500), ("32GB", 32768), ("32 gb", 32768),
        ("1.5T", 1572864), ("1K", 1), ("1025K", 2), ("0", 1), (" 2G ", 2048),
    ],
)  # fmt: skip
def test_a_size_is_whole_mebibytes_rounded_up(text: str, expected: int) -> None:
    """As sbatch --mem counts them."""
    assert expected == megabytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90), ("90s", 2), ("30m", 30), ("1h", 60), ("1h30m", 90), ("1h 30m", 90), ("1.5h", 90), ("2d", 2880),
        ("1d12h", 2160), ("10:30", 11), ("1:30:00", 90), ("2-00:00:00", 2880), ("1-12", 2160), ("1-12:30", 2190),
        ("0", 1), ("1s", 1), ("1H", 60),
    ],
)  # fmt: skip
def test_a_time_is_whole_minutes_rounded_up(text: str, expected: int) -> None:
    """As sbatch --time counts them."""
    assert expected == minutes(text)


@pytest.mark.parametrize("text", ["", "GB", "-1G", "1X", "1 2", "1e3", "infinite", "1,5G", "None"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(ConfigError, match="write for example 500MB or 32GB"):
        megabytes(text)


@pytest.mark.parametrize("text", ["", "h", "-1h", "1:2:3:4", "1w", "1h x", "UNLIMITED", "1-", ":30", "None"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(ConfigError, match="write for example 30m, 2h or 1-12:00:00"):
        minutes(text)


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_every_clock_time_is_read_right(days: int, hours: int, mins: int, seconds: int) -> None:
    """D-HH:MM:SS."""
    expected = max(1, days * 1440 + hours * 60 + mins + (seconds > 0))
    assert expected == minutes(f"{days}-{hours:02d}:{mins:02d}:{seconds:02d}")


def test_durations_have_one_unit() -> None:
    """The largest that fits."""
    assert ["42 s", "5 min", "3.2 h", "2.1 d"] == [duration(s) for s in (42, 300, 11500, 181000)]
    assert ["41.7 s", "5.0 min"] == [duration(s, exact=True) for s in (41.7, 300)]


def test_memory_is_said_in_powers_of_two_as_it_is_asked_for() -> None:
    """The page said 17.2 GB of the 16GB that a stage had asked for, `advise` 16.0 GB."""
    assert ["816 MB", "16.0 GB"] == [memory_text(mb) for mb in (816, megabytes("16GB"))]
    assert ["3328MB", "2GB", "13GB"] == [memory_value(mb) for mb in (3328, 2048, 12345)]


def test_hours_have_three_digits_or_so() -> None:
    """As `usage`, `show` and a dry run have them."""
    hours = (0.0, 0.0001, 0.0042, 0.314, 12.34, 1234.5)
    assert ["0", "<0.001", "0.004", "0.31", "12.3", "1,234"] == [hours_text(one) for one in hours]
