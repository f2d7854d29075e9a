"""Frames: pictures of each clip at fixed times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import attrs

from hpcurate import File, Resources, Stage
from hpcurate.errors import ConfigError
from stages.output_fields import OutputTask, internal, json_text, output, record
from stages.publish import publish_bytes, publish_file
from stages.video.media.decode import frame_pts
from stages.video.passes import decode_pass, passes
from stages.video.tasks import ClipTask

if TYPE_CHECKING:
    from av import VideoFrame

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


@attrs.define(kw_only=True)
class FrameTask(OutputTask):
    """One picture of a clip."""

    source: str = attrs.field(metadata=output("source_video"))
    """Path of the video relative to the input root."""
    clip_id: str = attrs.field(metadata=output("span_uuid"))
    time_s: float
    """Since the clip's start; the picture is the one shown then."""
    width: int
    height: int
    image: File = attrs.field(metadata=internal())


class Frames(Stage[ClipTask, FrameTask]):
    """The pictures that each clip shows at 0, 1/fps, 2/fps … seconds, upright, scaled to fit into `size`.

    The clips of a batch that come from one video are read in one pass. The same source gives the same bytes.
    """

    resources = Resources(cpus=1, memory="4GB", time="4h")
    batch_size = 64
    small_batches = True
    source_files = ("path",)
    version = 1

    def __init__(
        self, fps: float = 1.0, size: int = 0, format: Literal["jpg", "png", "webp"] = "jpg", quality: int = 92
    ) -> None:
        """Set which pictures, and how they are written.

        Args:
            fps: pictures a second.
            size: pixels of the longer side at most; 0 leaves the size.
            format: `jpg`, `png` or `webp`.
            quality: of `jpg` and `webp`, 1 … 100.
        """
        if fps <= 0:
            raise ConfigError(f"fps: {fps:g}: expected more than 0")
        self.fps, self.size, self.format, self.quality = fps, size, format, quality

    def process(self, tasks: list[ClipTask]) -> list[FrameTask]:
        """A task a picture, in order of clips and times."""
        found: dict[str, list[FrameTask]] = {}
        for clips in passes(tasks):
            with decode_pass(clips) as (_, shaper, pictures_of):
                for clip, pictures in pictures_of:
                    found[clip.id] = [self._write(clip, t, shaper.shape(f)) for t, f in shown(clip, pictures, self.fps)]
        return [frame for task in tasks for frame in found[task.id]]

    def _write(self, clip: ClipTask, time_s: float, frame: VideoFrame) -> FrameTask:
        image: Any = frame.to_image()  # type: ignore[no-untyped-call]
        if self.size:
            image.thumbnail((self.size, self.size))
        file = self.file(clip, f"{round(time_s * 1000):08d}.{self.format}")
        image.save(os.fspath(file), FORMATS[self.format], quality=self.quality)
        return self.child(
            clip, FrameTask, source=clip.source, clip_id=clip.id, time_s=time_s,
            width=image.width, height=image.height, image=file, weight=1.0,
        )  # fmt: skip


def shown(clip: ClipTask, frames: Iterator[VideoFrame], fps: float) -> Iterator[tuple[float, VideoFrame]]:
    """(seconds since the clip's start, the frame shown then) for 0, 1/fps, 2/fps … up to the clip's end."""
    number, held = 0, None
    for frame in frames:
        at = float((frame_pts(frame) - clip.start_pts) * clip.time_base)
        while held is not None and number / fps < at - 1e-6:
            yield number / fps, held
            number += 1
        held = frame
    while held is not None and number / fps < clip.duration_s - 1e-6:
        yield number / fps, held
        number += 1


class WriteFrames(Stage[FrameTask, FrameTask]):
    """Put the pictures under `output`: `frames/<clip>/<milliseconds>.jpg` and a record beside each."""

    batch_size = 256
    small_batches = True
    version = 2
    publishes = True

    def __init__(self, output: str) -> None:
        """Set where to write.

        Args:
            output: folder, made if missing.
        """
        self.output = output

    def process(self, tasks: list[FrameTask]) -> list[FrameTask]:
        """The same tasks; writing the same again changes nothing."""
        for task in tasks:
            target = os.path.join(self.output, "frames", task.clip_id, task.image.name)
            publish_file(os.fspath(task.image), target)
            line = json_text(record(task, "json", fan=0)) + "\n"
            publish_bytes(line.encode(), f"{target}.json")
        return tasks
