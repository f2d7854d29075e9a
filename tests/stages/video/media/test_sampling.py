"""Which pictures a sampling takes of a clip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from video_help import numbered

from stages.video.media.sampling import PairSampling, Sampler, Sampling

pytestmark = pytest.mark.video


def frames(count: int, fps: float, width: int = 128, height: int = 96) -> Any:
    """(seconds, frame) of a numbered video."""
    import av

    for number in range(count):
        yield number / fps, av.VideoFrame.from_ndarray(numbered(number, width, height), format="gray")


def sample(*wanted: Sampling, count: int = 48, fps: float = 24.0) -> Any:
    """What the samplings take of a video of `count` frames."""
    sampler = Sampler(wanted, count / fps)
    for seconds, frame in frames(count, fps):
        sampler.add(seconds, frame)
    return sampler.taken()


def brightness(picture: Any) -> float:
    """A reduction of a picture."""
    return float(picture.mean())


def test_short_clips_are_compared_throughout() -> None:
    """Neighbours at the rate, each the end of one pair and the start of the next."""
    pairs = PairSampling(fps=4, size=160).pair_times(1.0)
    assert pairs == [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)]


def test_long_clips_are_compared_at_a_bounded_number_of_places() -> None:
    """Spread evenly, with the same distance within a pair."""
    pairs = PairSampling(fps=4, size=160, most=10).pair_times(3600.0)
    assert [start for start, _ in pairs] == [360.0 * k for k in range(10)]
    assert {round(end - start, 6) for start, end in pairs} == {0.25}


@pytest.mark.parametrize(
    ("duration_s", "first_s", "expected"),
    [(0.01, 6.0, [0.0]), (1.0, 6.0, [0.0, 0.25, 0.5, 0.75]), (1.1, 6.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
     (100.0, 0.5, [0.0, 0.25])],
)  # fmt: skip
def test_times_lie_within_the_clip_and_its_first_seconds(
    duration_s: float, first_s: float, expected: list[float]
) -> None:
    """At least one picture, however short the clip."""
    assert Sampling(fps=4, size=10, first_s=first_s).times(duration_s) == expected


@pytest.mark.parametrize(
    ("sampling", "shape"),
    [
        (Sampling(fps=1, size=64, colour="gray"), (48, 64)),
        (Sampling(fps=1, size=64, side="height"), (64, 86, 3)),
        (Sampling(fps=1, size=256, colour="gray"), (192, 256)),
        (Sampling(fps=1, size=256, enlarge=False, colour="gray"), (96, 128)),
    ],
)
def test_pictures_have_the_wanted_size_and_colour(sampling: Sampling, shape: tuple[int, ...]) -> None:
    """Of frames of 128 × 96."""
    assert {picture.shape for picture in sample(sampling)[sampling].every_time()} == {shape}


def test_for_each_time_the_first_frame_at_or_after_it_is_taken() -> None:
    """At 5 pictures a second out of 24 frames a second."""
    sampling = Sampling(fps=5, size=128, colour="gray")
    taken = sample(sampling)[sampling].by_time
    assert [round(s.at_s * 24) for s in taken.values()] == [np.ceil(24 * k / 5) for k in range(10)]


def test_a_frame_that_is_shown_for_long_is_taken_for_every_time_but_counts_once() -> None:
    """A video of one frame a second, sampled at four."""
    sampling = Sampling(fps=4, size=128, colour="gray")
    samples = sample(sampling, count=3, fps=1.0)[sampling]
    assert (len(samples.every_time()), len(samples.every_frame())) == (9, 3)


def test_pairs_never_compare_a_frame_with_itself() -> None:
    """Seconds between are those of the frames."""
    sampling = PairSampling(fps=4, size=128, colour="gray")
    gaps = [gap for gap, _, _ in sampling.pairs(sample(sampling, count=3, fps=1.0)[sampling])]
    assert gaps == [1.0, 1.0]


def test_a_reduction_keeps_no_picture() -> None:
    """So that long clips need little memory."""
    sampling = Sampling(fps=2, size=128, colour="gray", reduce=brightness)
    assert all(isinstance(value, float) for value in sample(sampling)[sampling].every_time())


def test_equal_samplings_are_taken_once_and_different_ones_apart() -> None:
    """By value, whoever declared them."""
    taken = sample(Sampling(fps=2, size=64), Sampling(fps=2, size=64), Sampling(fps=3, size=64))
    assert [len(samples.by_time) for samples in taken.values()] == [4, 6]
