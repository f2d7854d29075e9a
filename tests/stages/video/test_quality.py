"""Quality measures clips and drops those that are out of bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from video_help import make_video, short_clips

from hpcurate import Chain
from hpcurate.testing import try_stage
from stages.video.cut import Cut
from stages.video.motion import Motion
from stages.video.preview import Preview
from stages.video.quality import Quality
from stages.video.tasks import ClipTask

pytestmark = pytest.mark.video


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({}, None), ({"min_sharpness": 5.0}, "blurred"), ({"min_brightness": 91}, "dark"), ({"max_brightness": 89}, "bright"),
        ({"max_black": 0.2}, "black"), ({"max_frozen": 0.1}, "frozen"),
        ({"min_sharpness": 4.0, "min_brightness": 90, "max_brightness": 90, "max_black": 0.25, "max_frozen": 0.5}, None),
    ],
)  # fmt: skip
def test_a_clip_out_of_bounds_is_dropped_with_one_word(bounds: dict[str, float], reason: str | None) -> None:
    """Bounds themselves are inside; without bounds everything is kept."""
    clip: Any = ClipTask.__new__(ClipTask)
    clip.sharpness, clip.brightness, clip.black, clip.frozen = 4.0, 90.0, 0.25, 0.5
    fault = Quality(**bounds).fault(clip)
    assert reason == (fault and fault.word)


def test_quality_is_measured_in_the_chain(tmp_path: Path) -> None:
    """A moving, textured video is sharp, not black, not frozen; a bound drops it with its word."""
    clips = short_clips(make_video(tmp_path / "v.mp4"), tmp_path)
    done = try_stage(Chain([Cut(preset="ultrafast"), Motion(0), Quality(), Preview()]), clips, tmp_path / "a")
    assert all(task.sharpness > 20 and task.black == 0 and task.frozen == 0 for task in done.tasks)
    assert all(40 < task.brightness < 220 for task in done.tasks)
    assert len(done.tasks) == len(clips) == 4
    dropped = try_stage(Chain([Cut(preset="ultrafast"), Quality(min_brightness=250)]), clips, tmp_path / "b")
    assert ["dark"] * 4 == [row["reason"] for row in dropped.dropped]
