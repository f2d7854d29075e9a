"""Image files as pictures: upright, RGB, 8 bits, the first of several, on white where they are transparent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate.inside import open_inside
from stages.video.media.container import file_fault
from stages.video.media.sampling import Sample, Samples, Sampling

if TYPE_CHECKING:
    from PIL.Image import Image

    from stages.video.media.sampling import Picture

MOST_PIXELS = 178_956_970
"""Pillow's own limit: it refuses to open what has more."""
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP",
)  # fmt: skip
"""What is opened, whatever a file is called. Not EPS, for which Pillow runs Ghostscript."""
ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)
"""The EXIF tag, and its values that swap width and height."""


class ImageError(ValueError):
    """An image cannot be used; the message names it and the fault."""


@attrs.define(frozen=True)
class Found:
    """What an image file holds."""

    width: int
    """Pixels as displayed."""
    height: int
    format: str
    """Pillow's name of it, e.g. `JPEG`."""
    frames: int
    """Pictures in the file; more than one in an animation."""


def look_into(path: str, source: str, max_pixels: int = MOST_PIXELS) -> Found:
    """What the file holds, all of its first picture decoded. Raises ImageError."""
    with opened(path, source) as image:
        if image.width * image.height > max_pixels:
            raise ImageError(f"{source}: {image.width} × {image.height} pixels; expected {max_pixels} at most")
        turned = image.getexif().get(ORIENTATION, 1) in TURNED
        check_range(image)
        image.load()
        size = (image.height, image.width) if turned else image.size
        return Found(*size, image.format or "", getattr(image, "n_frames", 1))


def sample_image(path: str, source: str, wanted: Sequence[Sampling]) -> dict[Sampling, Samples]:
    """The image as each sampling wants it, read once. Raises ImageError."""
    if not wanted:
        return {}
    image = read_image(path, source)
    taken = {sampling: reduced(image, sampling) for sampling in wanted}
    return {sampling: Samples(0.0, {0.0: Sample(0.0, picture)}) for sampling, picture in taken.items()}


def read_image(path: str, source: str) -> Image:
    """The whole image, upright, in RGB. Raises ImageError naming `source`."""
    from PIL import ImageOps

    with opened(path, source) as image:
        check_range(image)
        return plain_rgb(ImageOps.exif_transpose(image))


@contextmanager
def opened(path: str, source: str) -> Iterator[Image]:
    """The file, open; what goes wrong with it meanwhile is an ImageError naming `source`."""
    from PIL import Image, UnidentifiedImageError

    fault = file_fault(path)
    if fault:
        raise ImageError(f"{source}: {fault}")
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]
    try:
        with open_inside(path) as file, Image.open(file, formats=known) as image:
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{source}: cannot be read as an image: its format is not known") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ImageError(f"{source}: cannot be read as an image: {error}") from error


def check_range(image: Image) -> None:
    """Raise ValueError for numbers of which nobody knows what is white."""
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise ValueError(f"pixels of mode {image.mode}, whose range is not known; expected 8 or 16 bits a colour")


def plain_rgb(image: Image) -> Image:
    """The image in RGB with 8 bits a colour, on white where it is transparent."""
    from PIL import Image

    if image.mode.startswith("I"):
        return eight_bits(image).convert("RGB")
    if image.mode in ALPHA or "transparency" in image.info:
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
