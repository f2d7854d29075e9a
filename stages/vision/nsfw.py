"""NSFW: how likely the pictures of a clip are pornographic, and a filter on it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hpcurate import Resources, WorkerInfo
from stages.video.media.sampling import WHOLE, Sampling
from stages.video.samples import a_share, above_zero
from stages.vision.onnx_network import OnnxNetwork
from stages.vision.pictures import PictureStage
from stages.vision.tasks import VisualTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stages.video.media.sampling import Picture

RESIZED, SIDE = 256, 224
"""A picture is made a square of the first, without regard to its shape; the network sees the middle of it."""
MEAN_BGR = (104.0, 117.0, 123.0)
"""Means that the network was trained with (Yahoo, open_nsfw, `classify_nsfw.py`)."""
FEATURES = "/ReduceMean_output_0"
"""The layer before the last: 1024 numbers a picture."""
DIGITS = 4
"""Decimal places that a score keeps."""
AT_ONCE = 8
"""Pictures that the network sees at a time."""


class NsfwNetwork(OnnxNetwork):
    """Yahoo's Open NSFW: pictures, reduced by `fit`, to scores, and to what its last layer is given."""

    def __init__(self, name: str = "open-nsfw") -> None:
        super().__init__(name, (None, SIDE, SIDE, 3), also=FEATURES)

    def see(self, pictures: Sequence[Picture]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(scores from 0 to 1, features of 1024 numbers), a row per picture of the list."""
        import numpy as np

        scores, features = zip(*(self.run(batch) for batch in _batches(pictures)))
        return np.concatenate(scores)[:, 1], np.concatenate(features)


def _batches(pictures: Sequence[Picture]) -> Iterator[NDArray[np.float32]]:
    import numpy as np

    for first in range(0, len(pictures), AT_ONCE):
        rgb = np.stack(pictures[first : first + AT_ONCE]).astype(np.float32)
        yield rgb[..., ::-1] - np.asarray(MEAN_BGR, np.float32)


def fit(picture: Picture) -> Picture:
    """A picture as the network was trained on: a square, once compressed as JPEG, of which the middle is taken."""
    import numpy as np
    from PIL import Image

    square = Image.fromarray(picture).resize((RESIZED, RESIZED), Image.Resampling.BILINEAR)
    written = io.BytesIO()
    square.save(written, format="JPEG")
    edge = (RESIZED - SIDE) // 2
    middle: Any = np.asarray(Image.open(written))[edge : edge + SIDE, edge : edge + SIDE]
    return middle.copy()  # type: ignore[no-any-return]


class Nsfw(PictureStage):
    """Score how likely each clip or image is pornographic, 0 … 1; drop what is above `max_score`.

    Yahoo's Open NSFW, on the CPU. Yahoo's advice: below 0.2 is safe, above 0.8 is not.
    """

    model: NsfwNetwork
    resources = Resources(cpus=2, memory="3GB", time="2h")
    batch_size = 8
    adjustable = ("max_score", "reduce")
    version = 1

    def __init__(
        self,
        model: str = "open-nsfw",
        max_score: float | None = None,
        reduce: Literal["max", "mean"] = "max",
        fps: float = 1.0,
    ) -> None:
        """Set what is scored, and the filter.

        Args:
            model: Open NSFW, a name in conf/models.
            max_score: greatest score that is kept; null only scores.
            reduce: a clip's score is the `max` or the `mean` over its pictures.
            fps: pictures a second.
        """
        self.model = NsfwNetwork(model)
        self.max_score, self.reduce = a_share("max_score", max_score), reduce
        self.sampling = Sampling(fps=above_zero("fps", fps), size=WHOLE, enlarge=False, reduce=fit)

    def setup(self, worker: WorkerInfo) -> None:
        """Load the network."""
        self.model.setup(worker.device, worker.cpus)

    def process(self, tasks: list[VisualTask]) -> list[VisualTask]:
        """Those that are harmless enough, with `nsfw_score` filled in."""
        kept = []
        for task in tasks:
            scores, _ = self.model.see(self.pictures(task))
            task.nsfw_score = round(float(scores.max() if self.reduce == "max" else scores.mean()), DIGITS)
            if self.max_score is not None and task.nsfw_score > self.max_score:
                above = f"NSFW score above {self.max_score:g}"
                self.drop(task, above, value=task.nsfw_score, threshold=self.max_score, measure="nsfw_score")
            else:
                kept.append(task)
        return kept
