"""Scene cuts are those of PySceneDetect's content detector, by the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from av import VideoFrame
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from stages.video.media.scenes import CutFinder, change

pytestmark = pytest.mark.video


def noise(seed: int, share: float) -> Any:
    """A picture that differs from `noise(seed, 0)` in this share of its pixels."""
    picture = np.random.default_rng(seed).integers(0, 256, (90, 160, 3), np.uint8)
    other = np.random.default_rng(99)
    changed = other.random((90, 160)) < share
    picture[changed] = other.integers(0, 256, (int(changed.sum()), 3), np.uint8)
    return picture


def test_cuts_and_scores_are_those_of_pyscenedetect() -> None:
    """To the last bit; a change of exactly the threshold starts a scene."""
    detector = ContentDetector(threshold=20.0, min_scene_len=0)
    finder, expected, before = CutFinder(20.0), [], None
    for number in range(40):
        picture = noise(number // 8, (number % 8) / 16)
        found = detector.process_frame(FrameTimecode(number, fps=25.0), picture)
        expected += [cut.frame_num for cut in found]
        finder.add(VideoFrame.from_ndarray(picture, format="bgr24"))
        if before is not None:
            assert detector._frame_score == change(before, finder._before)
        before = finder._before
    assert expected == finder.cuts
    assert [8, 16, 24, 32] == [cut for cut in finder.cuts if cut % 8 == 0]
    exact = detector._frame_score
    assert exact is not None
    again = CutFinder(exact)
    for share in (6 / 16, 7 / 16):
        again.add(VideoFrame.from_ndarray(noise(4, share), format="bgr24"))
    assert [1] == again.cuts
