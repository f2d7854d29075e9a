"""A clip's id is made of its source and its span."""

from __future__ import annotations

from fractions import Fraction

import pytest

from stages.video.tasks import clip_id

pytestmark = pytest.mark.video


def test_an_id_depends_on_source_start_and_end() -> None:
    """Each of them counts."""
    spans = [("a.mp4", 0, 2), ("b.mp4", 0, 2), ("a.mp4", 1, 2), ("a.mp4", 0, 3)]
    assert len({clip_id(source, Fraction(start), Fraction(end)) for source, start, end in spans}) == 4


def test_an_id_takes_names_of_any_bytes() -> None:
    """Undecodable names, as `os.fsdecode` gives them."""
    assert clip_id("caf\udce9.mp4", Fraction(0), Fraction(1)) != clip_id("café.mp4", Fraction(0), Fraction(1))
