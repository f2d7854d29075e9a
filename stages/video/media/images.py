"""Image files as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture, Sampling

COLOURS = {"gray": "L", "rgb24": "RGB"}
"""FFmpeg's name of a pixel format → Pillow's name of the mode."""


class ImageError(ValueError):
    """An image cannot be used; the message names it and the fault."""


def image_picture(path: str, source: str, sampling: Sampling) -> Picture:
    """The image upright, scaled as `sampling` says; what is transparent is black. Raises ImageError."""
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            image: Any = ImageOps.exif_transpose(opened).convert(COLOURS[sampling.colour])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{source}: cannot be read as an image: {error}") from error
    scale = sampling.scale(image.width, image.height)
    size = (max(2, round(image.width * scale / 2) * 2), max(2, round(image.height * scale / 2) * 2))
    return np.asarray(image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
