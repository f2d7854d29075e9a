"""Where files lie in the output."""

from __future__ import annotations

import pytest

from stages.layout import metadata_path, output_path, readable

pytestmark = pytest.mark.video


@pytest.mark.parametrize(
    ("fan", "expected"), [(0, "clips/3fab.mp4"), (1, "clips/3f/3fab.mp4"), (2, "clips/3f/ab/3fab.mp4")]
)
def test_levels_of_folders(fan: int, expected: str) -> None:
    """Two digits of the id a level."""
    assert output_path("clips", "3fab", ".mp4", fan) == expected


def test_the_flat_layout_is_that_of_cosmos_curate() -> None:
    """`metas/v0/<id>.json`."""
    assert metadata_path("3fab", 0) == "metas/v0/3fab.json"


def test_undecodable_names_become_valid_text() -> None:
    """For JSON and Parquet."""
    assert readable("caf\udce9/ü.mp4") == "caf\\xe9/ü.mp4"
