"""Where a scene starts: the ways that `Split` has to find out. Each reads a video once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

import attrs

from hpcurate.errors import ConfigError
from hpcurate.model import Model
from hpcurate.stage import WorkerInfo
from stages.video.media.container import Decoder
from stages.video.media.decode import open_video
from stages.video.media.shots import ShotFinder, first_frames, small_picture
from stages.video.shot_network import ShotNetwork
from stages.video.tasks import VideoTask
from stages.video.timeline import Timeline, read_timeline

if TYPE_CHECKING:
    from av import VideoFrame

    from stages.video.media.shots import Picture

Name = Literal["content", "transnetv2"]
CONTENT_THRESHOLD = 27.0
"""PySceneDetect's default."""
SHOT_THRESHOLD = 0.4
"""Cosmos-Curate's and NeMo Curator's; the paper's is 0.5."""
PREPARED_FRAMES = 50_000
"""Frames of a video that `prepare` decodes at most: 200 MB of small pictures, half an hour at 25 frames a second."""
TOGETHER = {"cpu": 8, "cuda": 16}
"""Windows that the network gets at once: about a second of work on a CPU; more are no faster there."""
MEMORY_KEY = "video.shots"


class Detector(Protocol):
    """Finds the scenes of a video."""

    model: Model | None
    """Whose weights it needs."""
    decoder: Decoder
    """What decodes the video."""

    def setup(self, worker: WorkerInfo) -> None:
        """Once, in the stage process."""

    def prepare(self, task: VideoTask) -> None:
        """What can be done for a video while others are worked on."""

    def scenes(self, task: VideoTask) -> tuple[Timeline, list[int]]:
        """The video's timeline, and the numbers of frames that start a scene. Raises VideoError."""


def detector_of(method: str, name: Name, threshold: float | None) -> Detector:
    """The detector that a stage's parameters ask for. Raises ConfigError for a threshold of another one."""
    if method == "stride":
        return Nothing()
    if name == "content":
        return Content(CONTENT_THRESHOLD if threshold is None else threshold)
    if threshold is not None and not 0 < threshold < 1:
        raise ConfigError(
            f"threshold: {threshold:g}: with detector=transnetv2 it is a probability between 0 and 1; "
            f"leave it out for {SHOT_THRESHOLD}"
        )
    return Shots(SHOT_THRESHOLD if threshold is None else threshold)


class Nothing:
    """No scenes, only the timeline: nothing is decoded."""

    model: Model | None = None
    decoder: Decoder = "cpu"

    def setup(self, worker: WorkerInfo) -> None:
        """Nothing."""

    def prepare(self, task: VideoTask) -> None:
        """Nothing."""

    def scenes(self, task: VideoTask) -> tuple[Timeline, list[int]]:
        """From the packets alone."""
        return _read(task, None), []


class Content(Nothing):
    """PySceneDetect's content detector."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def scenes(self, task: VideoTask) -> tuple[Timeline, list[int]]:
        """Compares each frame with the one before."""
        from stages.video.media.scenes import CutFinder

        finder = CutFinder(self._threshold)
        timeline = _read(task, finder.add, self.decoder)
        return timeline, timeline.frames(finder.cuts)


@attrs.define
class _Prepared:
    """A video that has been decoded for the network."""

    timeline: Timeline
    pictures: list[Picture]


class _Pictures:
    """Small pictures of a video's frames, and one more than too many at most."""

    def __init__(self) -> None:
        self.kept: list[Picture] = []

    def keep(self, frame: VideoFrame) -> None:
        if len(self.kept) <= PREPARED_FRAMES:
            self.kept.append(small_picture(frame))


class Shots:
    """TransNetV2: a network that sees a hundred frames at once."""

    decoder: Decoder = "cpu"

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self.model: Model | None = ShotNetwork()

    def setup(self, worker: WorkerInfo) -> None:
        """Load the network."""
        assert isinstance(self.model, ShotNetwork)
        self._network = self.model
        self._network.device, self._network.threads = worker.device, worker.cpus
        self._network.setup()

    def prepare(self, task: VideoTask) -> None:
        """Decode a video whose small pictures fit into memory; a longer one is decoded while the network works."""
        if 0 < task.frames <= PREPARED_FRAMES:
            pictures = _Pictures()
            timeline = _read(task, pictures.keep, self.decoder)
            if len(pictures.kept) <= PREPARED_FRAMES:  # the container may have promised too few
                task.memory[MEMORY_KEY] = _Prepared(timeline, pictures.kept)

    def scenes(self, task: VideoTask) -> tuple[Timeline, list[int]]:
        """Runs the network over all windows of the video."""
        finder = ShotFinder(self._network.predict, TOGETHER[self._network.device])
        prepared: _Prepared | None = task.memory.pop(MEMORY_KEY, None)
        if prepared is None:
            timeline = _read(task, lambda frame: finder.add(small_picture(frame)), self.decoder)
        else:
            timeline = prepared.timeline
            for picture in prepared.pictures:
                finder.add(picture)
        return timeline, timeline.frames(first_frames(finder.chances(), self._threshold))


def _read(task: VideoTask, look: Callable[[VideoFrame], object] | None, decoder: Decoder = "cpu") -> Timeline:
    with open_video(task.path, task.source, decoder=decoder, max_pixels=task.max_pixels) as video:
        return read_timeline(video, look)
