"""Stages that ask a model about windows of a clip, or about an image: about their pictures, or what else is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate import CurrentOr
from hpcurate.errors import StageError
from hpcurate.fields import convert
from stages.language.asking import Asking
from stages.language.asks import Answer, Ask, Ready
from stages.language.windows import Window, Windows, check_frames
from stages.video.media.sampling import WHOLE, TimesSampling
from stages.vision.tasks import VisualTask, image_files

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture, Samples

READY = "language.ready"
"""Key of `task.memory`: what was made ready for each window."""


@attrs.define(frozen=True)
class Seen:
    """A window, and the pictures that a model sees of it."""

    window: Window
    pictures: Sequence[Picture]
    times_s: tuple[float, ...]
    """None for an image."""


class Windowed(Asking[VisualTask, VisualTask]):
    """Base: say what is asked about windows (`asked_about`, `questions`), and what is made of the answers (`answered`).

    What the engine can do ahead is done in `prepare`; all windows of a batch of clips are asked about together. What
    the engine raises for one window fails its clip.
    """

    env = CurrentOr("captions")

    # -- written by a subclass ----------------------------------------------------------------------

    def asked_about(self, task: VisualTask) -> list[Window]:
        """The windows with a question, in order, after `questions`."""
        return task.windows

    def questions(self, task: VisualTask) -> Iterable[Ask]:
        """One for each of them."""
        raise NotImplementedError

    def answered(self, task: VisualTask, windows: Sequence[tuple[Window, Answer]]) -> VisualTask | None:
        """What becomes of a clip; None after `self.drop`."""
        raise NotImplementedError

    # -- used by the engine -------------------------------------------------------------------------

    def prepare(self, task: VisualTask) -> None:
        """Make the questions ready."""
        task.memory[READY] = [self.model.ready(ask) for ask in self.questions(task)]

    def process(self, tasks: list[VisualTask]) -> list[VisualTask]:
        """Ask about all windows of all tasks at once."""
        asked = [self._ready(task) for task in tasks]
        answers = iter(self.model.answers([ready for one in asked for ready in one]))
        returned = (self.answered(task, list(zip(self.asked_about(task), answers))) for task in tasks)
        return [task for task in returned if task is not None]

    def _ready(self, task: VisualTask) -> list[Ready]:
        if READY not in task.memory:  # a member of a chain after the first
            self.prepare(task)
        ready: list[Ready] = task.memory.pop(READY)
        return ready


class AsksOfWindows(Windowed):
    """Base: asks about the pictures of each window (`question`); `prepare` decodes them.

    A clip that has windows already keeps them; else it gets those of the parameter `windows`.
    """

    @property
    def source_files(self) -> tuple[str, ...]:  # type: ignore[override]
        """See `Stage`: an image is the file itself, a clip has a file of its own."""
        return image_files(self.task_types[0])

    def _take(
        self,
        model: str,
        backend: str,
        windows: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
        generate: Mapping[str, Any] | None,
        server: Mapping[str, Any] | None,
    ) -> None:
        """What all of them have as parameters."""
        self._take_engine("video", model, backend, options, generate, server)
        self.windows = check_frames(convert(Windows, windows or {}, "windows"))

    def question(self, task: VisualTask, seen: Seen) -> Ask:
        """What is asked about one window; written by a subclass."""
        raise NotImplementedError

    def questions(self, task: VisualTask) -> Iterable[Ask]:
        """See `Windowed`. Decodes."""
        return (self.question(task, seen) for seen in self.seen(task))

    def seen(self, task: VisualTask) -> list[Seen]:
        """The windows of a task with their pictures; sets `task.windows` where there are none. Decodes."""
        frames, rate = task.frame_rate()
        if not task.windows:
            spans = self.windows.spans(frames) if rate else [(0, 0)]
            task.windows = [Window(start_frame=first, end_frame=last) for first, last in spans]
        if not task.windows:
            return []
        times = {id(w): self._times(w, rate) for w in task.windows}
        wanted = TimesSampling(
            at_s=tuple(t for some in times.values() for t in some), size=WHOLE, enlarge=False, reduce=self.model.fit
        )
        samples = task.samples([wanted])[wanted]
        return [_seen(task, window, samples, times[id(window)], rate) for window in task.windows]

    def _times(self, window: Window, rate: float) -> list[float]:
        """Seconds at which pictures of a window are taken: half a frame early, as the next frame is taken."""
        if not rate:
            return [0.0]
        numbers = self.windows.pictures((window.start_frame, window.end_frame), rate)
        return [max(0.0, (number - 0.5) / rate) for number in numbers]


def _seen(task: VisualTask, window: Window, samples: Samples, times: Sequence[float], rate: float) -> Seen:
    found = [samples.by_time[time] for time in times if time in samples.by_time]
    if not found:
        raise StageError(
            f"{task.source}: no picture could be taken of frames {window.start_frame} … {window.end_frame}"
        )
    first = found[0].at_s
    return Seen(window, [one.picture for one in found], tuple(one.at_s - first for one in found) if rate else ())
