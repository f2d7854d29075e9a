"""Embed: a vector of each clip, from some of its pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from hpcurate import Resources, WorkerInfo
from hpcurate.errors import ConfigError
from stages.video.media.sampling import Sampling, SpreadSampling
from stages.video.samples import above_zero
from stages.vision.encoder import DType, PictureEncoder
from stages.vision.pictures import PictureStage
from stages.vision.tasks import VisualTask
from stages.vision.vectors import write_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VIDEO_NETWORKS = ("cosmos-embed1", "internvideo2")
"""Registry entries that this stage cannot load, by how their names begin."""


class Embed(PictureStage):
    """Give each clip or image a vector: that of its pictures by CLIP, SigLIP or the like, averaged, of length 1.

    The vectors of a batch are one Parquet file with the columns `id` and `embedding`, named after the model; `Write`
    publishes it under `<model>_embd_parquet/`.
    """

    model: PictureEncoder
    resources = Resources(cpus=4, gpus=0.25, memory="16GB", time="4h")
    batch_size = 32
    version = 1

    def __init__(
        self, model: str = "clip-vit-large-patch14", frames: int = 8, dtype: DType = "float32", at_once: int = 64
    ) -> None:
        """Set the network, and what it sees.

        Args:
            model: a name in conf/models, of a network with `get_image_features`.
            frames: pictures of a clip: the first, and from there at even distances.
            dtype: of the network's numbers; `auto` is bfloat16 on a GPU, else float32. Vectors are always float32.
            at_once: pictures that the network sees at a time; bounds the memory of the GPU.
        """
        if model.rpartition("/")[2].lower().startswith(VIDEO_NETWORKS):
            raise ConfigError(
                f"model: {model}: a video network that needs code of its own, which this stage does not run; expected "
                "a network of pictures, e.g. clip-vit-large-patch14 or siglip-base-patch16-224 (docs/vision.md)"
            )
        self.model = PictureEncoder(model, dtype, int(above_zero("at_once", at_once)))
        self.frames = int(above_zero("frames", frames))

    @cached_property
    def sampling(self) -> Sampling:  # type: ignore[override]
        """Whole frames, spread over the clip, as the network wants them."""
        return self.model.sampling(SpreadSampling, count=self.frames)

    def setup(self, worker: WorkerInfo) -> None:
        """Load the network."""
        self.model.setup(worker.device)

    def process(self, tasks: list[VisualTask]) -> list[VisualTask]:
        """The same tasks; the last of their `embeddings` is the file with their vectors."""
        vectors = pooled(self.model.encode([self.pictures(task) for task in tasks]))
        file = self.file(tasks[0], f"{self.model.name.rpartition('/')[2]}.parquet")
        write_vectors(os.fspath(file), [task.id for task in tasks], vectors)
        for task in tasks:
            task.embeddings = [*(other for other in task.embeddings if other.name != file.name), file]
        return tasks


def pooled(pictures: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of each matrix' rows, made one of length 1; float32, a row per matrix. Pure."""
    import numpy as np

    means = np.stack([rows.mean(axis=0) for rows in pictures])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    rows: NDArray[np.float32] = (means / np.maximum(lengths, 1e-12)).astype(np.float32)
    return rows
