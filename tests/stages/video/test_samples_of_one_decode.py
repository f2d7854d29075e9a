"""Members of a chain declare the pictures they want; one decode serves them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from video_help import make_video, short_clips

from hpcurate import Chain, Stage
from hpcurate.errors import ConfigError, StageError
from hpcurate.spec import coerce_parameters, from_spec, to_spec
from hpcurate.testing import try_stage
from stages.video.cut import Cut
from stages.video.media.decode import frames_decoded
from stages.video.media.sampling import Sampling
from stages.video.motion import Motion
from stages.video.preview import Preview
from stages.video.quality import Quality
from stages.video.samples import UsesSamples, samples_of
from stages.video.tasks import ClipTask

pytestmark = pytest.mark.video


@attrs.define(kw_only=True)
class CountedClip(ClipTask):
    """A clip with a measure of a user's own."""

    counted: int = 0


class CountPictures(UsesSamples, Stage[ClipTask, CountedClip]):
    """A stage of a user's own: how many pictures it gets of each clip."""

    version = 1

    def __init__(self, fps: float) -> None:
        self.sampling = Sampling(fps=fps, size=32)

    def samplings(self) -> Sequence[Sampling]:
        """Small colour pictures."""
        return [self.sampling]

    def process(self, tasks: list[ClipTask]) -> list[CountedClip]:
        """The same clips with `counted` filled in."""
        return [clip.extended(CountedClip, counted=len(samples_of(clip, self.sampling).every_time())) for clip in tasks]


@pytest.mark.parametrize("mode", ["encode", "copy"])
def test_each_member_gets_the_rate_it_declares(tmp_path: Path, mode: str) -> None:
    """A stage that Cut has never heard of, beside Motion; the frames are decoded once."""
    clips = short_clips(make_video(tmp_path / "rates.mp4", gop=24), tmp_path)
    frames_decoded.clear()
    cut = Cut(preset="ultrafast", mode=mode)  # type: ignore[arg-type]
    done = try_stage(Chain([cut, Motion(0, fps=3), CountPictures(fps=6)]), clips, tmp_path / "a")
    assert [(type(clip), clip.counted) for clip in done.tasks] == [(CountedClip, 6)] * 4
    assert [clip.id for clip in done.tasks] == [clip.id for clip in clips]
    assert all(Path(clip.clip).is_file() for clip in done.tasks)
    assert all(clip.motion is not None for clip in done.tasks)
    assert frames_decoded["rates.mp4"] == 96


def test_a_rate_of_one_member_does_not_change_another(tmp_path: Path) -> None:
    """Motion at twice the rate; Quality measures what it did."""
    clips = short_clips(make_video(tmp_path / "v.mp4"), tmp_path)
    cut = Cut(preset="ultrafast")
    one, two = (
        try_stage(Chain([cut, Motion(0, fps=fps), Quality()]), clips, tmp_path / str(fps)).tasks for fps in (4, 8)
    )
    assert [(c.sharpness, c.black, c.frozen) for c in one] == [(c.sharpness, c.black, c.frozen) for c in two]
    assert [c.motion for c in one] != [c.motion for c in two]


def test_members_that_want_the_same_share_it() -> None:
    """By default Motion and Quality compare the same pairs."""
    cut = Cut()
    Chain([cut, Motion(), Quality(), Preview()])
    assert len(cut.samplings()) == 3


def test_members_are_known_across_processes_and_nested_chains() -> None:
    """As a stage process constructs them again."""
    chain = from_spec(to_spec(Chain([Chain([Cut(), Motion()]), Preview()])))
    assert isinstance(chain, Chain)
    inner = chain.stages[0]
    assert isinstance(inner, Chain)
    assert [type(stage) for stage in inner.stages[0].followers] == [Motion, Preview]


def test_nothing_is_sampled_or_decoded_for_nobody(tmp_path: Path) -> None:
    """Cutting by copying alone decodes no frame."""
    clips = short_clips(make_video(tmp_path / "alone.mp4", gop=24), tmp_path)
    frames_decoded.clear()
    assert len(try_stage(Cut(mode="copy"), clips, tmp_path / "a").tasks) == 4
    assert sum(frames_decoded.values()) == 0


def test_a_member_without_cut_reports_what_is_missing(tmp_path: Path) -> None:
    """`Chain` is the remedy."""
    (clip, *_) = short_clips(make_video(tmp_path / "v.mp4"), tmp_path)
    with pytest.raises(StageError, match="put Cut and this stage into one Chain"):
        samples_of(clip, Sampling(fps=1, size=32))


@pytest.mark.parametrize(
    ("stage", "message"),
    [(lambda: Motion(fps=0), "fps"), (lambda: Preview(fps=-1), "fps"), (lambda: Quality(frozen_fps=0), "frozen_fps")],
)
def test_a_rate_is_above_zero(stage: type[Motion], message: str) -> None:
    """Refused before anything runs."""
    with pytest.raises(ConfigError, match=f"^{message}: .*expected more than 0"):
        stage()


@pytest.mark.parametrize(
    ("key", "now"),
    [("motion_fps", "fps of Motion"), ("preview_fps", "fps of Preview"), ("preview_height", "height of Preview"),
     ("preview_s", "max_s of Preview")],
)  # fmt: skip
def test_a_parameter_that_moved_is_refused_with_its_new_name(key: str, now: str) -> None:
    """Not ignored, and not only unknown."""
    with pytest.raises(ConfigError, match=rf"^{key}: has moved; it is now .*{now}"):
        coerce_parameters(Cut, {key: 3})
