"""TextShare: how much of a clip's pictures is covered by overlaid text, and a filter on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from hpcurate import Resources, WorkerInfo
from hpcurate.errors import ConfigError
from stages.video.media.sampling import Sampling
from stages.video.samples import a_share, above_zero
from stages.vision.onnx_network import OnnxNetwork
from stages.vision.pictures import PictureStage
from stages.vision.tasks import VisualTask
from stages.vision.text_boxes import boxes_of, covered, overlay

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture
    from stages.vision.text_boxes import Boxes

STEP = 32
"""The network's sides are multiples of this."""
MEAN_BGR, STD_BGR = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""As PaddleOCR trains it: ImageNet's numbers, in this order although the picture is BGR. RapidOCR takes 0.5 for all of
them, with which more scenes without text have some (of 27 frames of cartoons and films 8, instead of 6)."""
DIGITS = 4
"""Decimal places that a share keeps."""


class TextDetector(OnnxNetwork):
    """PP-OCR's detector: a picture to boxes of its lines of text."""

    def __init__(self, name: str = "rapidocr-det", tallest: float = 0.33) -> None:
        super().__init__(name, (None, 3, None, None))
        self.tallest = tallest

    def boxes(self, picture: Picture) -> Boxes:
        """Boxes of an RGB picture; in each direction it is brought to the next multiple of 32 pixels."""
        import cv2
        import numpy as np

        height, width = (max(STEP, round(side / STEP) * STEP) for side in picture.shape[:2])
        bgr = cv2.resize(picture, (width, height))[..., ::-1].astype(np.float32) / 255
        pixels = (bgr - np.asarray(MEAN_BGR, np.float32)) / np.asarray(STD_BGR, np.float32)
        return boxes_of(self.run(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))[0][0, 0], self.tallest)


class TextShare(PictureStage):
    """Measure the share of the picture that overlaid text covers, 0 … 1; drop what is above `max_share`.

    Overlaid is what stands still: the same box, by 0.9 of the union, in pictures of `still_s` seconds at least. Of a
    clip with fewer pictures it has to be in all of them, so that in an image all text counts.
    """

    model: TextDetector
    resources = Resources(cpus=2, memory="3GB", time="4h")
    batch_size = 2  # pictures of a minute at 2 a second take 80 MB, and those of two batches are prepared ahead
    version = 1

    def __init__(
        self,
        model: str = "rapidocr-det",
        max_share: float | None = None,
        reduce: Literal["max", "mean"] = "max",
        fps: float = 2.0,
        size: int = 640,
        still_s: float = 1.0,
        corner: float = 0.1,
        tallest: float = 0.33,
    ) -> None:
        """Set what is measured, and the filter.

        Args:
            model: the text detector, a name in conf/models.
            max_share: greatest share that is kept; null only measures.
            reduce: a clip's share is the `max` or the `mean` over its pictures.
            fps: pictures a second. Detection takes about 0.2 s of a core for each at the default size.
            size: pixels of the longer side that text is looked for in; smaller pictures are not enlarged.
            still_s: seconds that text has to stand still to count; 0 counts all text.
            corner: text that lies within a corner of this share of width and height is not counted: logos of
                channels; 0 counts it.
            tallest: lines that are higher than this share of the picture's shorter side are no text: the detector may
                take a whole scene for one line.
        """
        if not 0 <= corner < 0.5:
            raise ConfigError(f"corner: {corner:g}: expected 0 or more, and less than 0.5")
        if still_s < 0:
            raise ConfigError(f"still_s: {still_s:g}: expected 0 or more")
        self.model = TextDetector(model, above_zero("tallest", tallest))
        self.max_share, self.reduce, self.corner = a_share("max_share", max_share), reduce, corner
        self.needed = int(still_s * fps + 1e-6) + 1
        self.sampling = Sampling(fps=above_zero("fps", fps), size=int(above_zero("size", size)), enlarge=False)

    def setup(self, worker: WorkerInfo) -> None:
        """Load the network."""
        self.model.setup(worker.device, worker.cpus)

    def process(self, tasks: list[VisualTask]) -> list[VisualTask]:
        """Those with little enough text, with `text_share` filled in."""
        kept = []
        for task in tasks:
            task.text_share = self.share(self.pictures(task))
            if self.max_share is not None and task.text_share > self.max_share:
                above = f"overlaid text above {self.max_share:g}"
                self.drop(task, above, value=task.text_share, threshold=self.max_share, measure="text_share")
            else:
                kept.append(task)
        return kept

    def share(self, pictures: Sequence[Picture]) -> float:
        """Of the pictures of one clip, in order."""
        found = overlay([self.model.boxes(p) for p in pictures], min(self.needed, len(pictures)), self.corner)
        shares = [covered(boxes, *picture.shape[1::-1]) for boxes, picture in zip(found, pictures)]
        return round(max(shares) if self.reduce == "max" else sum(shares) / len(shares), DIGITS)
