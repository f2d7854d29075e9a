"""Real shots, and a folder of videos with planted copies of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from shot_features import copies_of, frames_of, write_frames

FEW = {"cc30.mp4": [(90, 140), (190, 240)], "dj1.mp4": [(20, 70)], "dj3.mp4": [(0, 50)]}
"""Video → first frames of shots, and the frames after their last ones."""


def shots_of(folder: Path, spans: Mapping[str, Sequence[tuple[int, int]]]) -> Iterator[list[np.ndarray]]:
    """Their frames."""
    for name, places in spans.items():
        frames = frames_of(folder / name, max(end for _, end in places))
        yield from (frames[first:end] for first, end in places)


def copies_in(
    folder: Path, shots: Iterator[list[np.ndarray]], crop: float, shift: int
) -> Iterator[tuple[str, Path, int]]:
    """(number of the shot, video that was written, its frames): `0-original.mp4`, `0-again.mp4`, …"""
    for number, shot in enumerate(shots):
        for name, frames, scale, crf in copies_of(shot, crop, shift):
            yield str(number), write_frames(frames, folder / f"{number}-{name}.mp4", scale, crf), len(frames)
