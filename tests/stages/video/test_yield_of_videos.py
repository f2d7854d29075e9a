"""Every second of video that comes into a stage goes out, is dropped, left out, or fails: nothing vanishes uncounted."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video_help import make_video, probe, short_clips

from hpcurate import Chain
from hpcurate.store.stats import Counts
from hpcurate.testing import try_stage
from stages.video.cut import Cut
from stages.video.detectors import Nothing
from stages.video.motion import Motion
from stages.video.split import LONGER, SHORTER, Split
from stages.video.tasks import VideoTask
from stages.video.timeline import Timeline

pytestmark = pytest.mark.video


def explained(counts: Counts) -> float:
    """Seconds that are accounted for."""
    ends = [counts.amounts_out, counts.amounts_failed, *counts.lost.values()]
    ends += [left.amounts for left in counts.left_out.values()]
    return sum(end.get("seconds", 0.0) for end in ends)


class Given(Nothing):
    """Cuts that are known beforehand."""

    def __init__(self, cuts: list[int]) -> None:
        self.cuts = cuts

    def scenes(self, task: VideoTask) -> tuple[Timeline, list[int]]:
        """These, on the timeline of the real file."""
        return super().scenes(task)[0], self.cuts


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> VideoTask:
    """Four seconds, 24 frames each, at an uneven rate."""
    folder = tmp_path_factory.mktemp("yield")
    times = [n * 1000 // 24 + (n % 5) for n in range(96)]
    return probe(make_video(folder / "v.mp4", times=times, gop=18, sound=None), folder)


def split(video: VideoTask, cuts: list[int], **parameters: Any) -> Counts:
    """What is counted of the video."""
    stage = Split(**parameters)
    stage.detector = Given(cuts)
    stage.setup = lambda worker: None  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        return try_stage(stage, [video], Path(folder) / "t").counts


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 95), max_size=6), st.floats(0, 4), st.floats(0, 0.5), st.sampled_from(["drop", "merge"]),
    st.none() | st.floats(0.1, 3),
)  # fmt: skip
def test_every_second_of_a_split_video_is_accounted_for(
    video: VideoTask, cuts: list[int], min_s: float, crop_s: float, short: Any, stride_s: float | None
) -> None:
    """Short spans, cropped cuts and the rest of the last stride vanished uncounted: the video had passed."""
    how: dict[str, Any] = {"min_s": min_s, "max_s": max(2 * min_s, 1.5), "crop_s": crop_s, "short": short}
    if stride_s is not None:
        how |= {"method": "stride", "stride_s": max(stride_s, min_s, 0.1)}
    counts = split(video, cuts, **how)
    assert video.duration_s == pytest.approx(counts.amounts_in["seconds"])
    assert explained(counts) == pytest.approx(counts.amounts_in["seconds"], abs=0.06)


def test_what_split_leaves_out_has_a_count_a_length_and_a_reason(video: VideoTask) -> None:
    """By the parameter that would change it."""
    counts = split(video, [12, 60, 66], min_s=1.0, max_s=60.0, crop_s=0.0)
    left = counts.left_out["shorter than min_s=1"]
    assert (2, pytest.approx(0.75, abs=0.02)) == (left.count, left.amounts["seconds"])
    cropped = split(video, [48], min_s=0.5, max_s=60.0, crop_s=0.25).left_out["within crop_s=0.25 of a cut"]
    assert 0.5 == pytest.approx(cropped.amounts["seconds"], abs=0.1)


@pytest.mark.parametrize(("declared", "reason"), [(9.0, SHORTER), (0.0, LONGER)])
def test_a_file_that_declares_another_length_is_named(video: VideoTask, declared: float, reason: str) -> None:
    """What the container says is what came in; 0: it does not say."""
    import attrs

    counts = split(attrs.evolve(video, duration_s=declared), [], min_s=1.0, max_s=60.0)
    assert [reason] == list(counts.left_out)
    assert explained(counts) == pytest.approx(declared)


@pytest.mark.parametrize("gop", [18, 60])
def test_clips_that_are_copied_are_as_long_as_their_key_frames_allow(tmp_path: Path, gop: int) -> None:
    """Ends move back, and a clip without a key frame is part of the one before: together it is the video."""
    clips = short_clips(make_video(tmp_path / "v.mp4", gop=gop, sound=None), tmp_path)
    counts = try_stage(Chain([Cut(mode="copy"), Motion(0)]), clips, tmp_path / "c").counts
    assert 4.0 == pytest.approx(counts.amounts_in["seconds"], abs=0.01)
    assert 4.0 == pytest.approx(explained(counts), abs=0.01)
    assert counts.left_out["ends moved back to key frames"].count > 0
    assert counts.amounts_out["bytes"] > 1000
