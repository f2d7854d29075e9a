"""Clips that a filter drops are sampled and never encoded; what is kept is the same as if all were encoded."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import attrs
import av
import numpy as np
import pytest
from video_help import make_video, short_clips

from hpcurate import Chain, File, Stage, Task
from hpcurate.testing import Outcome, try_stage
from stages.video.clip_encoder import Shown, WaitingFrames
from stages.video.cut import Cut
from stages.video.media.decode import frames_decoded
from stages.video.media.sampling import Sample, Samples
from stages.video.motion import Motion
from stages.video.outlook import Outlook, leading_filters, mean, mean_range, within
from stages.video.preview import Preview
from stages.video.quality import MEASURES, PICTURES, Quality
from stages.video.tasks import ClipTask

pytestmark = pytest.mark.video

STILL, MOVING = [5] * 48, list(range(48))
NUMBERS = [*STILL, *MOVING, *([9] * 40 + list(range(20, 28))), *MOVING, *STILL]
"""Five clips of two seconds; the third stands still until near its end."""


class CountingCut(Cut):
    """Cut, which notes the clips that it makes a file for."""

    version = 1
    made: ClassVar[list[str]] = []

    def file(self, task: Task, name: str) -> File:
        """As ever."""
        self.made.append(task.id)
        return super().file(task, name)


class SmallCut(CountingCut):
    """With hardly any memory for frames that wait."""

    version = 1
    waiting_bytes = 20 * 128 * 96


class Nothing(Stage[ClipTask, ClipTask]):
    """Between Cut and the filters, so that Cut has to encode everything first: the order of earlier releases."""

    version = 1

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """The same clips."""
        return tasks


def tried(cut: type[Cut], clips: list[ClipTask], folder: Path, *between: Any) -> tuple[Outcome, int, int]:
    """(what became of the clips, files made, frames decoded)."""
    CountingCut.made.clear()
    frames_decoded.clear()
    filters = [Motion(threshold=1.0), Quality(max_frozen=0.9, min_sharpness=20.0)]
    done = try_stage(Chain([cut(preset="ultrafast"), *between, *filters, Preview()]), clips, folder)
    return done, len(CountingCut.made), sum(frames_decoded.values())


def contents(done: Outcome) -> list[tuple[dict[str, Any], bytes, bytes]]:
    """Everything about the clips that are kept, with the bytes of their files."""
    files = [(Path(clip.clip).read_bytes(), Path(clip.preview).read_bytes()) for clip in done.tasks]
    rows = [{**attrs.asdict(clip), "clip": "", "preview": "", "memory": None} for clip in done.tasks]
    return [(row, *both) for row, both in zip(rows, files)]


def without_file(done: Outcome) -> list[dict[str, Any]]:
    """The rows of dropped clips, apart from what is only known of a file."""
    of_file = ("clip", "bytes", "sha256", "frames", "has_audio", "encoder")
    return [{**row, "task": {k: v for k, v in row["task"].items() if k not in of_file}} for row in done.dropped]


def test_dropped_clips_are_never_encoded_and_the_kept_ones_are_the_same(tmp_path: Path) -> None:
    """Bytes, measures, reasons and decoded frames as where everything is encoded first; with sound, in one batch."""
    clips = short_clips(make_video(tmp_path / "v.mp4", numbers=NUMBERS), tmp_path, stride_s=2.0)
    before, encoded_before, frames_before = tried(CountingCut, clips, tmp_path / "before", Nothing())
    after, encoded, frames = tried(CountingCut, clips, tmp_path / "after")
    assert (5, 3) == (encoded_before, len(after.tasks))
    assert 3 == encoded
    assert [] == before.failed == after.failed
    assert frames_before == frames == 240
    assert contents(before) == contents(after)
    assert without_file(before) == without_file(after)
    assert [("Motion", "motion below 1")] * 2 == [(row["stage"], row["reason"]) for row in after.dropped]


def test_a_clip_that_is_kept_after_too_many_frames_is_decoded_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only that one, for its own frames; the result is the same, and the log says so."""
    clips = short_clips(make_video(tmp_path / "v.mp4", numbers=NUMBERS, gop=48), tmp_path, stride_s=2.0)
    large, _, frames = tried(CountingCut, clips, tmp_path / "large")
    small, encoded, more = tried(SmallCut, clips, tmp_path / "small")
    assert contents(large) == contents(small)
    assert without_file(large) == without_file(small)
    assert (3, 48) == (encoded, more - frames - 1)
    assert ["v.mp4: the clip from 4.000 s is decoded again to be encoded"] == capsys.readouterr().out.splitlines()


def test_frames_wait_within_their_bound() -> None:
    """A long clip that stands still holds the bound and one frame at most; what is let go stays gone."""
    picture = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
    size = sum(plane.buffer_size for plane in picture.planes)
    waiting = WaitingFrames(3 * size)
    held = []
    for number in range(200):
        assert [] == waiting.ready(Shown(number, 1, picture), Outlook.OPEN)
        held.append(waiting.bytes)
    assert [size, 2 * size, 3 * size, 0] == held[:4]
    assert {0} == set(held[4:]) - {size}
    assert waiting.too_many
    assert [] == waiting.ready(Shown(200, 1, picture), Outlook.KEPT)
    assert [] == waiting.settled(Outlook.KEPT)


def test_frames_leave_in_order_when_the_clip_is_kept() -> None:
    """Those that waited first; of a dropped clip none."""
    picture = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
    shown = [Shown(number, 1, picture) for number in range(6)]
    kept, dropped = WaitingFrames(2**20), WaitingFrames(2**20)
    outlooks = [Outlook.OPEN, Outlook.OPEN, Outlook.KEPT, Outlook.KEPT]
    left = [kept.ready(*both) for both in zip(shown, outlooks)]
    assert [[], [], shown[:3], [shown[3]]] == left
    assert [[], [], []] == [dropped.ready(one, o) for one, o in zip(shown, [Outlook.OPEN] * 2 + [Outlook.DROPPED])]
    assert 0 == dropped.bytes


# -- what is certain --------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1.0, 255.0, float("inf")])
def test_what_is_certain_comes_true(most: float) -> None:
    """For means of any values, with any bounds, however many of the values come."""
    draw = random.Random(12)
    top = most if most < float("inf") else 20.0
    for _ in range(3000):
        values = [draw.choice([0.0, top, draw.uniform(0, top)]) for _ in range(draw.randint(1, 8))]
        bound = draw.choice([mean(values), round(mean(values), 4), draw.uniform(0, top), 0.0, top])
        least, upper = draw.choice([(bound, None), (None, bound)])
        coming = draw.randint(0, 2)  # announced, but never there
        end = within((mean(values), mean(values)), 4, least, upper)
        assert end is not Outlook.OPEN
        for known in range(1, len(values) + 1):
            between = mean_range(values[:known], len(values) - known + coming, most)
            assert within(between, 4, least, upper) in {end, Outlook.OPEN}


def bare_clip() -> Any:
    """A clip that has nothing but what is measured."""
    clip: Any = ClipTask.__new__(ClipTask)
    clip.sharpness = clip.brightness = clip.black = clip.frozen = clip.motion = None
    return clip


@pytest.mark.parametrize("bounds", [{"max_frozen": 0.5}, {"min_sharpness": 100.0}, {"max_black": 0.25}, {"max_brightness": 9.0}])  # fmt: skip
def test_a_filter_foresees_what_it_does(bounds: dict[str, float]) -> None:
    """Quality, picture by picture: once certain it is right, and at the end it is certain; the measures are the same."""
    draw = random.Random(3)
    quality = Quality(**bounds)
    for _ in range(60):
        whole, clip = taken(draw, quality), bare_clip()
        parts: dict[Any, Samples] = {sampling: Samples(3.0) for sampling in whole}
        said = []
        for time in sorted({time for samples in whole.values() for time in samples.by_time}):
            for sampling, samples in whole.items():
                if time in samples.by_time:
                    parts[sampling].by_time[time] = samples.by_time[time]
            said.append(quality.outlook(clip, parts, ended=False))
        said.append(quality.outlook(clip, parts, ended=True))
        clip.memory["video.samples"], fresh = parts, bare_clip()
        fresh.memory["video.samples"] = whole
        quality.measure(clip)
        quality.measure(fresh)
        assert [getattr(fresh, m.field) for m in MEASURES] == [getattr(clip, m.field) for m in MEASURES]
        end = Outlook.DROPPED if quality.fault(clip) else Outlook.KEPT
        assert end is said[-1]
        assert {end, Outlook.OPEN} >= set(said)


def taken(draw: random.Random, quality: Quality) -> dict[Any, Samples]:
    """Samples of three seconds, of which the last frames may be missing; some pictures are black, some repeat."""
    pictures = [np.full((8, 8), draw.choice([0, 0, 200]), np.uint8) for _ in range(13)]
    for picture in pictures:
        picture[::2] += draw.choice([0, 40])
    ends = draw.uniform(0.3, 3.1)
    found = {}
    for sampling in quality.samplings():
        reduce: Callable[[Any], Any] = sampling.reduce or (lambda picture: picture)
        times = [time for time in sampling.times(3.0) if time <= ends]
        frames = [time if draw.random() < 0.8 else 0.0 for time in times]
        found[sampling] = Samples(3.0, {t: Sample(f, reduce(pictures[int(f * 4)])) for t, f in zip(times, frames)})
    assert PICTURES in found
    return found


class BrokenMotion(Motion):
    """Whose pictures cannot be compared."""

    version = 1

    def outlook(self, *_: Any, **__: Any) -> Outlook:
        """Fails."""
        raise ValueError("no such picture")

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """Fails, too."""
        raise ValueError("no such picture")


def test_a_filter_that_fails_is_named_and_not_cut(tmp_path: Path) -> None:
    """As where it is asked after Cut."""
    clips = short_clips(make_video(tmp_path / "v.mp4", frames=24), tmp_path)
    done = try_stage(Chain([Cut(preset="ultrafast"), BrokenMotion()]), clips, tmp_path / "a")
    assert [("BrokenMotion", "no such picture")] == [(row["stage"], row["message"]) for row in done.failed]


class OwnMotion(Motion):
    """Keeps what stands still."""

    version = 1

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """All clips."""
        return tasks


def test_only_filters_that_come_first_and_speak_for_themselves_are_asked() -> None:
    """Another kind of stage may need the file; one with a `process` of its own may keep what its base drops."""
    motion, quality = Motion(), Quality()
    assert [motion, quality] == leading_filters([motion, quality, Preview()])
    assert [motion] == leading_filters([motion, Nothing(), quality])
    assert [] == leading_filters([OwnMotion(), quality])
