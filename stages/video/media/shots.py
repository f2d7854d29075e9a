"""Find where shots change with a network that looks at windows of small pictures. It is fed frame by frame.

The numbers are TransNetV2's (arXiv:2008.04838): pictures of 48×27, windows of 100 every 50 frames, of which the middle
half counts. A video's first and last picture are repeated, so that its first and last frames have neighbours, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from av import VideoFrame
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    """Windows (n, 100, 27, 48, 3) become (n, 100): how likely each frame is the last before a new shot."""

WIDTH, HEIGHT = 48, 27
WINDOW = 100
MARGIN = 25
"""Frames at both ends of a window that only serve as neighbours."""
STRIDE = WINDOW - 2 * MARGIN


class ShotFinder:
    """Collects how likely each frame is the last of its shot; holds no more than a few windows of pictures."""

    def __init__(self, predict: Predict, together: int) -> None:
        self._predict, self._together = predict, together
        self._held: list[Picture] = []
        self._windows: list[Picture] = []
        self._chances: list[float] = []
        self._count = 0

    def add(self, picture: Picture) -> None:
        """Take the next picture, in display order."""
        self._count += 1
        self._held += [picture] * (1 if self._held else MARGIN + 1)
        if len(self._held) == WINDOW:
            self._window()

    def chances(self) -> list[float]:
        """Of every frame, 0 … 1; after the last picture."""
        while len(self._held) > MARGIN:
            seen = len(self._held)
            self._held += [self._held[-1]] * (WINDOW - seen)
            self._window()
            self._held = self._held[: max(0, seen - STRIDE)]
        self._run()
        return self._chances[: self._count]

    def _window(self) -> None:
        import numpy as np

        self._windows.append(np.stack(self._held))
        self._held = self._held[STRIDE:]
        if len(self._windows) == self._together:
            self._run()

    def _run(self) -> None:
        import numpy as np

        if self._windows:
            found = self._predict(np.stack(self._windows))
            self._chances += [float(chance) for chance in found[:, MARGIN:-MARGIN].ravel()]
            self._windows = []


def first_frames(chances: Sequence[float], threshold: float) -> list[int]:
    """Numbers of frames that start a shot: one for each run of chances above the threshold. Pure.

    It is the frame after the likeliest of the run. After a hard cut that is the first frame of the new shot; of a
    dissolve it is about the middle, where the network was trained to answer.
    """
    starts: list[int] = []
    best: int | None = None
    for number, chance in enumerate(chances):
        if chance <= threshold:
            starts += [] if best is None else [best + 1]
            best = None
        elif best is None or chance > chances[best]:
            best = number
    return [*starts, *([] if best is None else [best + 1])]


def small_picture(frame: VideoFrame) -> Picture:
    """The frame as the network sees it, (27, 48, 3) RGB: the whole picture, stretched, the same on every machine.

    Bicubic, as the published inference has it from FFmpeg's scaler; one thread.
    """
    from av.video.reformatter import Interpolation

    small = frame.reformat(WIDTH, HEIGHT, "rgb24", interpolation=Interpolation.BICUBIC, threads=1)
    return small.to_ndarray()
