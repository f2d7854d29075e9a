"""Windows of a clip: the stretches of frames that are described one by one, and the pictures taken of each. Pure.

Figures: Cosmos-Curate's (256 frames, a remainder of 128 or more is a window of its own, 2 pictures a second).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import get_args

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import above_zero, option
from stages.language.asks import Status

LEAST_FRAMES = 4
"""Of a window; a clip with fewer has none."""


@attrs.define(kw_only=True)
class Window:
    """A stretch of a clip, and what models said of it."""

    start_frame: int
    """Number of its first frame in the clip, from 0."""
    end_frame: int
    """Number of its last frame."""
    caption: str | None = None
    """None: nobody was asked, or the answer was empty (`status`)."""
    model: str | None = None
    """That made the caption."""
    status: Status | None = None
    """Of the caption: done, truncated (at the most tokens), empty; None: nobody was asked."""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    enhanced_caption: str | None = None
    """What a language model made of the caption."""
    enhanced_model: str | None = None
    enhanced_status: Status | None = None
    rejected_for: list[str] | None = None
    """Criteria of the filter that the window meets (`filter.py`); None: nobody was asked."""
    types: list[str] | None = None
    """What kinds of video the classifier found in it (`classify.py`); None: nobody was asked."""


@attrs.define(frozen=True, kw_only=True)
class Windows:
    """How a clip is cut into windows, and which pictures of each a model sees."""

    frames: int = option(256, "of a window", minimum=LEAST_FRAMES)
    remainder: int | None = option(
        None, "so many frames that are left make a window of their own, fewer extend the last; default: half a window",
        minimum=1,
    )  # fmt: skip
    fps: float = option(2.0, "pictures a second", check=above_zero)
    most: int = option(768, "pictures of a window at most", minimum=LEAST_FRAMES)

    def spans(self, frames: int) -> list[tuple[int, int]]:
        """First and last frame of each window of a clip with so many frames. They cover it, and none overlap."""
        if frames < LEAST_FRAMES:
            return []
        starts = list(range(0, frames, self.frames))
        least = self.frames // 2 if self.remainder is None else self.remainder
        if len(starts) > 1 and frames - starts[-1] < max(least, LEAST_FRAMES):
            starts.pop()
        return [(start, end - 1) for start, end in pairwise([*starts, frames])]

    def pictures(self, span: tuple[int, int], rate: float) -> list[int]:
        """Numbers of the frames that are seen of a span, `rate` frames a second: an even number, evenly spread."""
        first, last = span
        length = last - first + 1
        wanted = round(length / rate * self.fps / 2) * 2
        count = max(min(wanted, self.most, length), LEAST_FRAMES)
        count -= count % 2
        return [first + round(k * (length - 1) / (count - 1)) for k in range(count)]


def check_frames(windows: Windows) -> Windows:
    """The same. Raises ConfigError where the remainder is longer than a window."""
    if (windows.remainder or 0) > windows.frames:
        raise ConfigError(f"windows.remainder: {windows.remainder}: expected windows.frames={windows.frames} at most")
    return windows


def captions_of(windows: Sequence[Window]) -> dict[int, str]:
    """Number of each window that has a text → the best one: the enhanced one where there is one."""
    best = {number: window.enhanced_caption or window.caption for number, window in enumerate(windows)}
    return {number: text for number, text in best.items() if text}


def caption_counts(windows: Iterable[Window]) -> dict[str, int]:
    """How captions ended, over windows that were asked about, and what they took: for a summary."""
    asked = [window for window in windows if window.status]
    return {
        "windows": len(asked),
        **{status: sum(window.status == status for window in asked) for status in get_args(Status)},
        "prompt_tokens": sum(window.prompt_tokens or 0 for window in asked),
        "output_tokens": sum(window.output_tokens or 0 for window in asked),
    }
