"""Which bin a sample belongs to, by its picture's shape, its resolution and its length. Pure.

Samples of one bin can be in one batch of a training. The levels are those of Cosmos-Curate's `shard` command
(`core/utils/dataset/dimensions.py` there): nearest aspect ratio, shorter side, seconds. There clips of less than 5 s
are left out; here every sample has a bin.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import option
from hpcurate.ids import plain_bytes

_RATIO = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})")


@attrs.define(frozen=True, kw_only=True)
class Bins:
    """Bounds of the bins. An empty list: nothing is told apart by that."""

    ratios: tuple[str, ...] = option(
        ("9:16", "3:4", "1:1", "4:3", "16:9"),
        "width:height; a sample belongs to the nearest. The bounds are geometric means, which are Cosmos-Curate's "
        "within 2 %",
        converter=tuple,
    )
    sides: tuple[int, ...] = option(
        (480, 720, 1080, 2160), "pixels of the shorter side from which on a bin begins, ascending", converter=tuple
    )
    seconds: tuple[float, ...] = option(
        (5.0, 10.0, 30.0), "length from which on a bin begins, ascending; Cosmos-Curate's bounds", converter=tuple
    )


def check_bins(bins: Bins) -> Bins:
    """The same. Raises ConfigError for a ratio that is none, and for bounds that do not ascend."""
    for ratio in bins.ratios:
        if not _RATIO.fullmatch(ratio):
            raise ConfigError(f"bins.ratios: {ratio!r}: expected width:height, e.g. 16:9")
    for name, bounds in (("sides", bins.sides), ("seconds", bins.seconds)):
        if any(a >= b for a, b in pairwise((0.0, *bounds))):
            raise ConfigError(f"bins.{name}: {list(bounds)}: expected numbers above 0, ascending")
    return bins


def bin_of(bins: Bins, width: int, height: int, seconds: float | None) -> str:
    """Folder of a sample, such as `16x9/720p/5-10s`; `seconds` None is no video, which has no level for its length."""
    levels = []
    if bins.ratios:
        levels.append(nearest(bins.ratios, width, height).replace(":", "x"))
    if bins.sides:
        levels.append(_side(bins.sides, min(width, height)))
    if bins.seconds and seconds is not None:
        levels.append(_length(bins.seconds, round(seconds, 6)))  # a microsecond is the precision of a clip's times
    return "/".join(levels) or "all"


def nearest(ratios: Sequence[str], width: int, height: int) -> str:
    """The ratio that is nearest as a factor; of two equally near, the narrower. In whole numbers, so not rounded."""
    ordered = sorted({_sides_of(ratio): ratio for ratio in ratios}.items(), key=lambda one: one[0][0] / one[0][1])
    for ((w, h), ratio), ((next_w, next_h), _) in pairwise(ordered):
        if width * width * h * next_h <= height * height * w * next_w:  # (w/h)² at most the product of both
            return ratio
    return ordered[-1][1]


def part_of(sample: str, parts: int) -> str:
    """Folder of one of several parts of a bin, by a hash of the sample's id; "" where there is one part."""
    if parts == 1:
        return ""
    number = int.from_bytes(hashlib.blake2b(plain_bytes(sample), digest_size=8, person=b"part").digest(), "big") % parts
    return f"part-{number:04d}-of-{parts:04d}"


def _sides_of(ratio: str) -> tuple[int, int]:
    width, _, height = ratio.partition(":")
    return int(width), int(height)


def _side(bounds: Sequence[int], side: int) -> str:
    reached = [bound for bound in bounds if side >= bound]
    return f"{reached[-1]}p" if reached else f"under{bounds[0]}p"


def _length(bounds: Sequence[float], seconds: float) -> str:
    if seconds < bounds[0]:
        return f"under{bounds[0]:g}s"
    for low, high in pairwise(bounds):
        if seconds < high:
            return f"{low:g}-{high:g}s"
    return f"from{bounds[-1]:g}s"
