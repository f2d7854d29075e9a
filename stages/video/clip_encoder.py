"""From the frames of a clip to its file: they wait until it is certain that the clip is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from hpcurate import File
from stages.video.media.decode import Video
from stages.video.media.encode import ClipWriter, Encoding, Interleaver
from stages.video.media.sound import Sound
from stages.video.outlook import Outlook
from stages.video.tasks import ClipTask

if TYPE_CHECKING:
    from av import VideoFrame


class Shown(NamedTuple):
    """A picture of a clip."""

    pts: int
    """Of the video."""
    duration: int
    """How long it is shown, in the video's ticks."""
    picture: VideoFrame


class WaitingFrames:
    """Frames of one clip while a filter may still drop it, `most_bytes` and one frame at most."""

    def __init__(self, most_bytes: int) -> None:
        self.too_many = False
        """Whether they were let go because they were too many: the clip has to be decoded again if it is kept."""
        self.bytes = 0
        self._most, self._frames = most_bytes, list[Shown]()

    def ready(self, shown: Shown, outlook: Outlook) -> list[Shown]:
        """What is to be encoded now, the next frame being `shown`."""
        if outlook is Outlook.KEPT and not self._frames:
            return [] if self.too_many else [shown]
        self._frames.append(shown)
        self.bytes += sum(plane.buffer_size for plane in shown.picture.planes)
        return self.settled(outlook)

    def settled(self, outlook: Outlook) -> list[Shown]:
        """What is to be encoded of those that wait; none waits any longer unless the outlook is open."""
        self.too_many |= outlook is Outlook.OPEN and self.bytes > self._most
        if outlook is Outlook.OPEN and not self.too_many:
            return []
        frames, self._frames, self.bytes = self._frames, [], 0
        return frames if outlook is Outlook.KEPT and not self.too_many else []


class ClipEncoder:
    """Encodes one clip, its sound alongside; the file begins with the first picture. `with` closes it."""

    def __init__(
        self, clip: ClipTask, start: int, encoding: Encoding, video: Video | None, place: Callable[[], File]
    ) -> None:
        """`video`: where the sound comes from; None: there is to be none. `place` makes the place of the file."""
        self._clip, self._start, self._encoding, self._place = clip, start, encoding, place
        self._unit = clip.time_base
        self._sound_of = video if video and video.container.streams.audio else None
        self._stack = ExitStack()
        self._writer: ClipWriter | None = None

    def __enter__(self) -> ClipEncoder:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def add(self, shown: Shown) -> None:
        """The next picture."""
        if self._writer is None:
            self._open(shown.picture)
        assert self._writer is not None
        self._both.until(float((shown.pts - self._start) * self._unit))
        self._writer.add_picture(shown.picture, shown.pts - self._start, shown.duration)

    def finish(self) -> File:
        """Write the rest, and fill in the clip's fields about its pictures and sound; the file."""
        assert self._writer is not None
        self._both.until(float((self._clip.end_pts - self._start) * self._unit) + 1)
        self._writer.finish()
        self._stack.close()
        self._clip.frames = self._writer.frames
        self._clip.has_audio, self._clip.encoder = self._sound_of is not None, self._encoding.encoder
        return self._file

    def _open(self, first: VideoFrame) -> None:
        clip, unit = self._clip, self._unit
        self._file = self._place()
        sound = self._stack.enter_context(closing(Sound(clip.path, clip.source))) if self._sound_of else None
        path = os.fspath(self._file)
        self._writer = self._stack.enter_context(ClipWriter(path, self._encoding, clip.fps, first, sound))
        self._both = Interleaver(self._writer, sound, Fraction(self._start) * unit, clip.end_pts * unit)
