"""Stages that look at pictures: where the pictures come from, and how often a clip is decoded for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")

from video_help import cut_clips, make_video, number_of, short_clips

from hpcurate import Chain
from hpcurate.errors import StageError
from hpcurate.testing import try_stage
from stages.video.cut import Cut
from stages.video.media.decode import frames_decoded
from stages.video.media.sampling import Sampling, SpreadSampling
from stages.video.samples import MEMORY_KEY
from stages.video.tasks import ClipTask
from stages.vision.pictures import PictureStage
from stages.vision.tasks import VisualTask

pytestmark = pytest.mark.video


class Numbers(PictureStage):
    """Note which frames were seen; the sum of their numbers stands for a score."""

    def __init__(self, fps: float = 2.0) -> None:
        self.sampling = Sampling(fps=fps, size=128, colour="gray")
        self.seen: list[list[int]] = []
        self.prepared = 0

    def prepare(self, task: VisualTask) -> None:
        """Counted."""
        self.prepared += 1
        super().prepare(task)

    def process(self, tasks: list[VisualTask]) -> list[VisualTask]:
        """The same tasks."""
        for task in tasks:
            self.seen.append([number_of(picture) for picture in self.pictures(task)])
            task.aesthetic_score = float(sum(self.seen[-1]))
        return tasks


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[ClipTask]:
    """Four clips of a second each, of 24 numbered frames."""
    folder = tmp_path_factory.mktemp("clips")
    return cut_clips(make_video(folder / "v.mp4"), folder, method="stride", stride_s=1.0, min_s=0.1)


def test_pictures_are_decoded_in_prepare_and_freed(clips: list[ClipTask], tmp_path: Path) -> None:
    """One decode a clip, of its own file; nothing is left in memory once `process` has them."""
    stage = Numbers()
    frames_decoded.clear()
    outcome = try_stage(stage, clips, tmp_path / "own")
    assert [[0, 12], [24, 36], [48, 60], [72, 84]] == stage.seen
    assert {"v.mp4": 96} == dict(frames_decoded)
    assert 4 == stage.prepared
    assert [ClipTask] * 4 == [type(task) for task in outcome.tasks], "what comes out has the class that came in"
    task: Any = outcome.tasks[0]
    stage.prepare(task)
    assert [0, 12] == [number_of(picture) for picture in stage.pictures(task)]
    assert {} == task.memory[MEMORY_KEY]
    assert [0, 12] == [number_of(picture) for picture in stage.pictures(task)], "tried again, e.g. in a smaller batch"


def test_stages_of_one_chain_share_one_decode(clips: list[ClipTask], tmp_path: Path) -> None:
    """The first one prepares for all; equal pictures are taken once, and kept until the last has seen them."""
    first, second, third = Numbers(), Numbers(), Numbers(fps=4.0)
    frames_decoded.clear()
    try_stage(Chain([first, second, third]), clips, tmp_path / "chain")
    assert first.seen == second.seen
    assert [0, 6, 12, 18] == third.seen[0]
    assert {"v.mp4": 96} == dict(frames_decoded)
    assert (4, 0, 0) == (first.prepared, second.prepared, third.prepared)


def test_behind_cut_the_pictures_are_those_of_its_decode(tmp_path: Path) -> None:
    """In the chain that cuts, no clip is read again."""
    stage = Numbers()
    spans = short_clips(make_video(tmp_path / "v.mp4"), tmp_path)
    frames_decoded.clear()
    try_stage(Chain([Cut(preset="ultrafast"), stage]), spans, tmp_path / "cut")
    assert [[0, 12], [24, 36], [48, 60], [72, 84]] == stage.seen
    assert {"v.mp4": 96} == dict(frames_decoded)
    assert 0 == stage.prepared


def test_a_clip_without_a_file_is_refused(tmp_path: Path) -> None:
    """A dead letter says what to put where."""
    (clip,) = short_clips(make_video(tmp_path / "v.mp4", frames=24), tmp_path)
    outcome = try_stage(Numbers(), [clip], tmp_path / "own")
    assert ["StageError"] == [row["error"] for row in outcome.failed]
    assert "after Cut" in outcome.failed[0]["message"]


def test_something_without_a_picture_is_an_error_of_its_own() -> None:
    """Not an empty batch that a network stumbles over."""

    class Blank(VisualTask):
        def samples(self, wanted: Any) -> Any:
            from stages.video.media.sampling import Samples

            return {sampling: Samples(0.0) for sampling in wanted}

    with pytest.raises(StageError, match=r"blank\.mp4: no picture"):
        Numbers().pictures(Blank(id="a", source="blank.mp4", path="/blank.mp4"))


def test_spread_pictures_begin_at_the_start() -> None:
    """So many, at even distances; a clip of no length has the one at its start."""
    spread = SpreadSampling(count=4, size=8)
    assert [0.0, 0.5, 1.0, 1.5] == spread.times(2.0)
    assert [0.0] == spread.times(0.0)
    assert np.allclose(np.diff(SpreadSampling(count=7, size=8).times(1.0)), 1 / 7)
