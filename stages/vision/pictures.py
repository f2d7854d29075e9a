"""Stages that look at pictures: clips are decoded, and images opened, while the one before is in work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpcurate import CurrentOr, Stage
from hpcurate.errors import StageError
from stages.video.media.sampling import Sampling
from stages.video.samples import UsesSamples, free_samples, has_samples, leave_samples, samples_of, samplings_of
from stages.vision.tasks import VisualTask, image_files


class PictureStage(UsesSamples, Stage[VisualTask, VisualTask]):
    """Base of stages that look at pictures of clips or images: name the `sampling`, call `pictures` in `process`.

    `prepare` decodes and reduces the pictures (`Sampling.reduce`: e.g. to the square that a network wants), so that
    `process` finds small arrays and a GPU waits for nothing. Several such stages in one `Chain` share one decode; in a
    chain with `Cut` the pictures are those of its decode, and no file is read again.
    """

    env = CurrentOr("vision")

    sampling: Sampling
    """The pictures that the stage needs; constant for its life."""

    @property
    def source_files(self) -> tuple[str, ...]:  # type: ignore[override]
        """See `Stage`: an image is the file itself, a clip has a file of its own."""
        return image_files(self.task_types[0])

    def samplings(self) -> Sequence[Sampling]:
        """The stage's one sampling."""
        return [self.sampling]

    def prepare(self, task: VisualTask) -> None:
        """Decode the pictures that this stage and those after it in its chain want."""
        leave_samples(task, task.samples(samplings_of([self, *self.followers])))

    def pictures(self, task: VisualTask) -> list[Any]:
        """The pictures of a task, in order, each once; their memory is the caller's from now on."""
        if not has_samples(task, self.sampling):
            self.prepare(task)
        pictures = samples_of(task, self.sampling).every_frame()
        if self.sampling not in samplings_of(self.followers):
            free_samples(task, self.sampling)
        if not pictures:
            raise StageError(f"{task.source}: no picture could be taken of it")
        return pictures
