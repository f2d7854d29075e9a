"""Vectors of real features of clips, and copies of real shots: encoded again, cropped, cut differently."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np

from hpcurate import WorkerInfo
from stages.video.media.sampling import SpreadSampling
from stages.vision.look import Fit
from stages.vision.pictures import PictureStage
from stages.vision.tasks import VisualTask
from stages.vision.vectors import write_vectors


class ShotFeatures(PictureStage):
    """What TransNetV2's last block makes of eight pictures of a clip, which it takes for one window, averaged.

    3 × 6 places by 256 channels.
    """

    version = 1
    batch_size = 16
    sampling = SpreadSampling(size=1 << 16, enlarge=False, reduce=Fit(48, 27), count=8)

    def __init__(self, weights: str, standard: str = "") -> None:
        """Set the network.

        Args:
            weights: folder with TransNetV2's weights.
            standard: npz of `standard_of`; empty: as they are.
        """
        self.weights, self.standard = weights, standard

    def setup(self, worker: WorkerInfo) -> None:
        """Load it."""
        import torch

        from stages.vision.networks.transnetv2 import load

        torch.set_num_threads(1)
        self.network = load(Path(self.weights), "cpu")

    def process(self, tasks: list[VisualTask]) -> list[VisualTask]:
        """The same tasks."""
        rows = np.stack([self._features(self.pictures(task)) for task in tasks])
        if self.standard:
            with np.load(self.standard) as given:
                rows = (rows - given["mean"]) @ given["axes"].T
        file = self.file(tasks[0], "transnetv2.parquet")
        write_vectors(os.fspath(file), [task.id for task in tasks], rows.astype(np.float32))
        for task in tasks:
            task.embeddings = [file]
        return tasks

    def _features(self, pictures: Sequence[Any]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(np.stack(pictures))[None].permute(0, 4, 1, 2, 3).float() / 255
            for block in self.network.blocks:
                x = block(x)
            found: np.ndarray = x.mean(dim=2).flatten().numpy()
        return found


def standard_of(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Centres, and divides each principal axis by its spread, to which a tenth of the mean spread is added."""
    mean = rows.mean(axis=0)
    _, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
    spread = sizes**2 / len(rows)
    return {"mean": mean, "axes": axes / np.sqrt(spread + 0.1 * spread.mean())[:, None]}


def frames_of(path: Path, most: int | None = None, height: int = 180) -> list[np.ndarray]:
    """The first frames, or all, RGB, of that height or their own, if it is less."""
    with av.open(os.fspath(path)) as file:
        scale = min(1.0, height / file.streams.video[0].height)
        size = {side: int(getattr(file.streams.video[0], side) * scale) // 2 * 2 for side in ("width", "height")}
        return [frame.reformat(**size, format="rgb24").to_ndarray() for frame in islice(file.decode(video=0), most)]


def copies_of(
    shot: Sequence[np.ndarray], crop: float, shift: int
) -> Iterator[tuple[str, list[np.ndarray], float, str]]:
    """(name, frames, scale, crf): the shot itself, encoded again, cropped on each side, without its first frames."""
    height, width = shot[0].shape[:2]
    top, left = int(height * crop), int(width * crop)
    cropped = [np.ascontiguousarray(frame[top : height - top, left : width - left]) for frame in shot]
    yield "original", list(shot), 1.0, "20"
    yield "again", list(shot), 0.75, "32"
    yield "cropped", cropped, 1.0, "23"
    yield "shifted", list(shot[shift:]), 1.0, "23"


def write_frames(frames: Sequence[np.ndarray], path: Path, scale: float, crf: str) -> Path:
    """H.264 of 24 frames a second."""
    height, width = (int(side * scale) // 2 * 2 for side in frames[0].shape[:2])
    with av.open(os.fspath(path), "w") as out:
        stream = out.add_stream("libx264", rate=24, options={"crf": crf, "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(width, height)
            frame.pts, frame.time_base = number, Fraction(1, 24)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
