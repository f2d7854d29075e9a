"""Pictures as they are sent to a server: small enough, and as JPEG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture


@attrs.define(frozen=True)
class Longest:
    """Reduces pictures whose longer side has more pixels."""

    side: int

    def __call__(self, picture: Picture) -> Picture:
        """A smaller one, or the same."""
        height, width = picture.shape[:2]
        if max(height, width) <= self.side:
            return picture
        import numpy as np
        from PIL import Image

        scale = self.side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def jpeg_of(picture: Picture, quality: int) -> bytes:
    """The picture as a file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return file.getvalue()
