"""Amounts in words."""

from __future__ import annotations

import pytest

from hpcurate.report.amounts import words


@pytest.mark.parametrize(
    ("amount", "text"), [(669922, "669,922"), (4_240_160, "4,240,160"), (2.5, "2.5"), (3e9, "3,000,000,000")]
)
def test_large_amounts_of_other_units_are_written_out(amount: float, text: str) -> None:
    """They were `4.24016e+06 characters`."""
    assert f"{text} characters" == words({"characters": amount})
