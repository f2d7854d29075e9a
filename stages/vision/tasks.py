"""What stages that look at pictures work on: anything that has some. Clips (`stages.video.tasks`) and images do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from stages.output_fields import OutputTask, output

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture, Sampling


@attrs.define(kw_only=True)
class VisualTask(OutputTask):
    """Something with pictures, and what has been measured on them.

    A measure is one field here, declared with `output`: column and key of everything that has pictures.
    """

    source: str = attrs.field(metadata=output("source", key="source_video", order=(2, 2)))
    """Path of the input file relative to the input root."""
    path: str
    """Absolute path of the input file."""

    def pictures(self, sampling: Sampling) -> list[Picture]:
        """The pictures that `sampling` asks for, in order, each once. Raises ValueError naming `source`."""
        raise NotImplementedError(f"{type(self).__qualname__} does not define pictures(self, sampling)")


@attrs.define(kw_only=True)
class ImageTask(VisualTask):
    """An image file."""

    width: int = attrs.field(metadata=output("width", arrow="int32"))
    """Pixels as displayed: after the rotation that its EXIF data name."""
    height: int = attrs.field(metadata=output("height", arrow="int32"))
    """Pixels as displayed."""

    def pictures(self, sampling: Sampling) -> list[Picture]:
        """The image itself, upright, in the size and colours of the sampling."""
        from stages.video.media.images import image_picture

        return [image_picture(self.path, self.source, sampling)]
