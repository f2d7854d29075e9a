"""How a network wants its pictures: which pixels of each, and which numbers for them.

Our own code, with Pillow, for every network and on every machine: the libraries' image processors give other pixels
with torchvision than without it. The figures are those of the `preprocessor_config.json` beside the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate.errors import ConfigError

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture

FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}
"""Pillow's numbers of its filters, which are those of `resample` in the file. All but `nearest` are antialiased."""


@attrs.define(frozen=True)
class Fit:
    """Makes a picture of any size `width` × `height`: the `reduce` of a sampling."""

    width: int
    height: int
    shorter: int | None = None
    """Pixels to which the shorter side is scaled before the middle is cropped; None: squeezed, nothing is cropped."""
    resample: int = FILTERS["bicubic"]

    def __call__(self, picture: Picture) -> Picture:
        """The RGB picture (height, width, 3), uint8."""
        import numpy as np
        from PIL import Image

        image = Image.fromarray(picture)
        box = None if self.shorter is None else middle(image.width, image.height, self)
        small = image.resize((self.width, self.height), Image.Resampling(self.resample), box=box)
        return np.asarray(small)


def middle(width: int, height: int, fit: Fit) -> tuple[float, float, float, float]:
    """The part of a picture that scaling its shorter side, and then cropping the middle, leaves. Pure.

    Left, upper, right, lower, in its own pixels. Taken at once, so that a long strip is never made large. The pixels
    are those of Hugging Face's processors (with Pillow), but for the rounding of about one in a thousand.
    """
    shorter = max(fit.shorter or 0, fit.width, fit.height)
    scale = shorter / min(width, height)
    scaled = (int(width * scale + 1e-6), int(height * scale + 1e-6))
    left, upper = (scaled[0] - fit.width) // 2, (scaled[1] - fit.height) // 2
    x, y = width / scaled[0], height / scaled[1]
    return left * x, upper * y, min(width, (left + fit.width) * x), min(height, (upper + fit.height) * y)


@attrs.define(frozen=True)
class Look:
    """Pixels, and the numbers that they become: (value / 255 - mean) / std, per colour."""

    fit: Fit
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def read_look(folder: Path) -> Look:
    """What the weights' own description says. Raises ConfigError where it is missing or means something else."""
    for name, key in (("preprocessor_config.json", None), ("processor_config.json", "image_processor")):
        if (folder / name).is_file():
            plain = json.loads((folder / name).read_text(encoding="utf-8"))
            return look_of(plain if key is None else plain.get(key, {}), str(folder / name))
    raise ConfigError(
        f"{folder} has no preprocessor_config.json, which says how large the network's pictures are; expected weights "
        "of an image network, with that file among the `files` of its entry in conf/models"
    )


def look_of(plain: Mapping[str, Any], where: str) -> Look:
    """The description as a value. Raises ConfigError naming what is not understood. Pure."""
    try:
        size, crop = plain["size"], plain.get("do_center_crop", False)
        if isinstance(size, int):
            size = {"shortest_edge": size} if crop else {"height": size, "width": size}
        wanted = plain["crop_size"] if crop else size
        wanted = {"height": wanted, "width": wanted} if isinstance(wanted, int) else wanted
        shorter = size["shortest_edge"] if crop else None
        fit = Fit(wanted["width"], wanted["height"], shorter, plain.get("resample", FILTERS["bicubic"]))
        mean, std = ((float(r), float(g), float(b)) for r, g, b in (plain["image_mean"], plain["image_std"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{where}: {error!r}: expected the description of a CLIP or SigLIP network: size, crop_size with "
            "do_center_crop, image_mean and image_std"
        ) from None
    if fit.resample not in FILTERS.values():
        raise ConfigError(f"{where}: resample {fit.resample}: expected one of {FILTERS}")
    return Look(fit, mean, std)
