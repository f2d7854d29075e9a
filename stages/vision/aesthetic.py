"""Aesthetic: how pleasing the pictures of a clip are, and a filter on it."""

from __future__ import annotations

import re
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpcurate import Resources, WorkerInfo
from hpcurate.errors import ConfigError
from hpcurate.model import Model, get_local_dir_for_weights_name, read_model_config
from stages.video.media.sampling import Sampling
from stages.video.samples import above_zero
from stages.vision.encoder import PictureEncoder
from stages.vision.pictures import PictureStage
from stages.vision.tasks import VisualTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGITS = 6
"""Decimal places that a score keeps."""


class AestheticModel(Model):
    """CLIP, and a head that makes a number of its vectors.

    The head is five linear layers one after the other, without anything between them (the improved aesthetic predictor
    `sac+logos+ava1-l14-linearMSE`, trained on vectors of CLIP ViT-L/14 of length 1).
    """

    def __init__(self, clip: str, head: str, at_once: int) -> None:
        self.clip, self.head = PictureEncoder(clip, at_once=at_once), head

    @property
    def model_id_names(self) -> list[str]:
        """CLIP's name and the head's."""
        return [*self.clip.model_id_names, self.head]

    def check_weights(self, name: str, folder: Path) -> None:
        """See `Model`. What is in the head, `setup` sees."""
        if name == self.clip.name:
            self.clip.check_weights(name, folder)
        if name == self.head and (kind := read_model_config(folder).get("model_type")):
            raise ConfigError(f"its config.json is that of a {kind} model; expected a head of linear layers")

    def setup(self, device: str = "cpu") -> None:
        """Load both. Raises ConfigError if they do not belong together."""
        self.clip.setup(device)
        self.layers = read_head(get_local_dir_for_weights_name(self.head), self.head)
        wanted = self.layers[0][0].shape[1]
        if wanted != self.clip.width:
            raise ConfigError(
                f"model {self.head}: the head was made for vectors of {wanted} numbers, those of {self.clip.name} have "
                f"{self.clip.width}; expected the CLIP that it was trained with (the shipped one: ViT-L/14)"
            )

    def scores(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """A score for each row."""
        for weight, bias in self.layers:
            vectors = vectors @ weight.T + bias
        return vectors[:, 0]


def read_head(folder: Path, name: str) -> list[tuple[Any, Any]]:
    """(weight, bias) of each linear layer, in order. Raises ConfigError for anything else."""
    from safetensors.numpy import load_file

    try:
        (file,) = sorted(folder.glob("*.safetensors"))
        tensors = load_file(file)
    except ValueError:
        raise ConfigError(f"model {name}: expected one .safetensors file in {folder}") from None
    names = sorted((n for n in tensors if n.endswith(".weight")), key=lambda n: [int(d) for d in re.findall(r"\d+", n)])
    layers: list[tuple[Any, Any]] = [(tensors[n], tensors.get(n[: -len("weight")] + "bias")) for n in names]
    sizes = [weight.shape for weight, bias in layers if bias is not None and bias.shape == weight.shape[:1]]
    flat = bool(sizes) and all(len(size) == 2 for size in sizes) and len(sizes) * 2 == len(tensors)
    if not flat or sizes[-1][0] != 1 or any(before[0] != after[1] for before, after in pairwise(sizes)):
        raise ConfigError(
            f"model {name}: {file} is no aesthetic head; expected linear layers, each with weight and bias, from a "
            f"vector to one number; found {', '.join(f'{n} {list(t.shape)}' for n, t in sorted(tensors.items())[:3])} …"
        )
    return [(weight.astype("float32"), bias.astype("float32")) for weight, bias in layers]


class Aesthetic(PictureStage):
    """Score how pleasing each clip or image is, about 1 … 10; drop what is below `min_score`.

    CLIP's vector of a picture, made one of length 1, goes through a head that was trained on people's ratings; float32.
    """

    model: AestheticModel
    resources = Resources(cpus=4, gpus=0.25, memory="16GB", time="4h")
    batch_size = 16
    adjustable = ("min_score", "reduce")
    version = 1

    def __init__(
        self,
        model: str = "clip-vit-large-patch14",
        head: str = "aesthetic-head",
        min_score: float | None = None,
        reduce: Literal["min", "mean"] = "min",
        fps: float = 1.0,
        at_once: int = 64,
    ) -> None:
        """Set what is scored, and the filter.

        Args:
            model: CLIP, a name in conf/models.
            head: the head trained on it, a name in conf/models.
            min_score: least score that is kept; null only scores. NeMo Curator's default is 0.5, its example 3.5.
            reduce: a clip's score is the `min` or the `mean` over its pictures.
            fps: pictures a second.
            at_once: pictures that the network sees at a time; bounds the memory of the GPU.
        """
        self.model = AestheticModel(model, head, int(above_zero("at_once", at_once)))
        self.min_score, self.reduce, self.fps = min_score, reduce, above_zero("fps", fps)

    @cached_property
    def sampling(self) -> Sampling:  # type: ignore[override]
        """Whole frames at `fps`, as CLIP wants them."""
        return self.model.clip.sampling(fps=self.fps)

    def setup(self, worker: WorkerInfo) -> None:
        """Load the networks."""
        self.model.setup(worker.device)

    def process(self, tasks: list[VisualTask]) -> list[VisualTask]:
        """Those that please enough, with `aesthetic_score` filled in."""
        kept = []
        for task, vectors in zip(tasks, self.model.clip.encode([self.pictures(task) for task in tasks])):
            scores = self.model.scores(vectors)
            task.aesthetic_score = round(float(scores.min() if self.reduce == "min" else scores.mean()), DIGITS)
            if self.min_score is not None and task.aesthetic_score < self.min_score:
                below, measure = f"aesthetic score below {self.min_score:g}", "aesthetic_score"
                self.drop(task, below, value=task.aesthetic_score, threshold=self.min_score, measure=measure)
            else:
                kept.append(task)
        return kept
