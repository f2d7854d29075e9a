"""Image files as pictures: upright, RGB, 8 bits, the first of several, on white where they are transparent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stages.video.media.sampling import Sample, Samples, Sampling

if TYPE_CHECKING:
    from PIL.Image import Image

    from stages.video.media.sampling import Picture

MOST_PIXELS = 178_956_970
"""Pillow's own limit: it refuses to open what has more."""


class ImageError(ValueError):
    """An image cannot be used; the message names it and the fault."""


def sample_image(path: str, source: str, wanted: Sequence[Sampling]) -> dict[Sampling, Samples]:
    """The image as each sampling wants it, read once. Raises ImageError."""
    if not wanted:
        return {}
    image = read_image(path, source)
    taken = {sampling: reduced(image, sampling) for sampling in wanted}
    return {sampling: Samples(0.0, {0.0: Sample(0.0, picture)}) for sampling, picture in taken.items()}


def read_image(path: str, source: str) -> Image:
    """The whole image, upright, in RGB. Raises ImageError naming `source`."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            opened.load()
            return plain_rgb(ImageOps.exif_transpose(opened), opened.format)
    except UnidentifiedImageError:
        raise ImageError(f"{source}: cannot be read as an image: its format is not known") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ImageError(f"{source}: cannot be read as an image: {error}") from error


def plain_rgb(image: Image, format: str | None) -> Image:
    """The image in RGB with 8 bits a colour. Raises ValueError for numbers whose range is not known."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and format == "PNG"):
        return eight_bits(image).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}, whose range is not known; expected 8 or 16 bits a colour")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def eight_bits(image: Image) -> Image:
    """A grey image of 16 bits by its upper 8: Pillow's own conversion cuts off everything that is brighter than 255."""
    import numpy as np
    from PIL import Image

    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))


def reduced(image: Image, sampling: Sampling) -> Any:
    """The image in the size and colour of a sampling, and what it makes of it."""
    import numpy as np
    from PIL import Image

    scale = sampling.scale(image.width, image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    picture: Picture = np.asarray(image.convert("L") if sampling.colour == "gray" else image)
    return picture if sampling.reduce is None else sampling.reduce(picture)
