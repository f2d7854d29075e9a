"""EmbedText: vectors of captions, as arrays beside the clip."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from hpcurate import CurrentOr, Resources, Stage, WorkerInfo
from hpcurate.errors import StageError
from stages.language.generating import Batches
from stages.language.windows import captions_of
from stages.text import DType, SentenceEmbedder, TextEncoder, TokenEmbedder
from stages.video.samples import above_zero
from stages.vision.tasks import VisualTask

if TYPE_CHECKING:
    from numpy.typing import NDArray

EMBEDDERS: dict[str, type[TextEncoder]] = {"token": TokenEmbedder, "caption": SentenceEmbedder}
"""What has a vector of its own → the model that makes it."""


class EmbedText(Stage[VisualTask, VisualTask]):
    """Give each clip or image vectors of its captions, of the enhanced one where there is one.

    They are one file per clip, NumPy's npz, named after the model: an array for each window that has a caption, under
    its number in `windows`. `Write` publishes it under `<model>_text_embd/`. What has no caption has no file.
    """

    model: TextEncoder
    env = CurrentOr("captions")
    resources = Resources(cpus=2, gpus=0.25, memory="16GB", time="4h")
    batch_size = 32
    version = 1

    def __init__(
        self,
        model: str = "t5-base",
        per: Literal["token", "caption"] = "token",
        longest: int = 512,
        dtype: DType = "float16",
        at_once: int = 32,
    ) -> None:
        """Set the network, and what it makes.

        Args:
            model: a name in conf/models: of a T5, or with per=caption of a sentence embedder.
            per: a vector for each `token`, from the encoder of a T5, or one for each `caption`, of length 1.
            longest: tokens of a caption at most; what follows is not seen.
            dtype: of the network's numbers and of the arrays.
            at_once: captions that the network sees at a time; halved where the GPU's memory runs out.
        """
        self.model = EMBEDDERS[per](model, int(above_zero("longest", longest)), dtype)
        self.dtype, self._batches = dtype, Batches(int(above_zero("at_once", at_once)))

    def setup(self, worker: WorkerInfo) -> None:
        """Load the network on this process's device."""
        self.model.device = worker.device
        super().setup(worker)

    def process(self, tasks: list[VisualTask]) -> list[VisualTask]:
        """The same tasks; the last of their `text_vectors` is the file with those of this model."""
        captions = [captions_of(task.windows) for task in tasks]
        arrays = iter(self._vectors([text for one in captions for text in one.values()]))
        for task, one in zip(tasks, captions, strict=True):
            if one:
                self._write(task, {str(number): next(arrays) for number in one})
        return tasks

    def _vectors(self, texts: list[str]) -> list[NDArray[Any]]:
        """Of each text, in order; neighbours of like length are seen together."""
        return self._batches.answers(texts, len, lambda some: list(self.model.embed(some)))

    def _write(self, task: VisualTask, arrays: dict[str, NDArray[Any]]) -> None:
        import numpy as np

        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise StageError(f"{task.id}: the network's numbers left the range of {self.dtype}: set dtype=float32")
        file = self.file(task, f"{self.model.name.rpartition('/')[2]}.npz")
        with open(os.fspath(file), "wb") as written:
            np.savez(written, **{number: array.astype(self.dtype) for number, array in arrays.items()})  # type: ignore[arg-type]
        task.text_vectors = [*(other for other in task.text_vectors if other.name != file.name), file]
