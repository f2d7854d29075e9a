"""What stages that look at pictures work on: anything that has some. Clips (`stages.video.tasks`) and images do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import attrs

from hpcurate import File, Task
from stages.dedup.tasks import Cluster
from stages.language.windows import Window
from stages.output_fields import Computed, Output, OutputTask, internal, output
from stages.vision.vectors import published_vectors

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture, Samples, Sampling


@attrs.define(kw_only=True)
class VisualTask(OutputTask):
    """Something with pictures, and what has been measured on them.

    A measure is one field here: column and key of everything that has pictures.
    """

    source: str = attrs.field(metadata=output("source_video", order=2))
    """Path of the input file relative to the input root."""
    path: str = attrs.field(metadata=internal())
    """Absolute path of the input file."""

    aesthetic_score: float | None = None
    """How pleasing its pictures are, about 1 … 10 (see `aesthetic.py`)."""
    text_share: float | None = None
    """Share of the picture that overlaid text covers, 0 … 1 (see `text_share.py`)."""
    nsfw_score: float | None = None
    """How likely it is pornographic, 0 … 1 (see `nsfw.py`)."""
    windows: list[Window] = attrs.field(factory=list)
    """Its stretches, and what models said of each; an image is one (see `stages/language/`)."""
    embeddings: list[File] = attrs.field(factory=list, metadata=internal())
    """Files with its vector, one a model: Parquet with the columns `id` and `embedding` (see `embed.py`)."""
    text_vectors: list[File] = attrs.field(factory=list, metadata=internal())
    """Files with the vectors of its captions, one a model: NumPy's npz (see `stages/language/text_vectors.py`)."""

    cluster: Cluster | None = attrs.field(default=None, metadata=internal())
    """Where it belongs while duplicates are looked for; None before and after that (see `stages/dedup/`)."""

    def shared_files(self, fan: int) -> list[tuple[File, str]]:
        """Those with its vectors."""
        pictures = [(file, published_vectors(file, fan)) for file in self.embeddings]
        return pictures + [(file, published_vectors(file, fan, "text_embd")) for file in self.text_vectors]

    def frame_rate(self) -> tuple[int, float]:
        """(number of frames, frames a second); (1, 0) for what is no video."""
        return 1, 0.0

    def samples(self, wanted: Sequence[Sampling]) -> dict[Sampling, Samples]:
        """The pictures of several samplings, from one decode. Raises ValueError naming `source`."""
        raise NotImplementedError(f"{type(self).__qualname__} does not define samples(self, wanted)")

    def pictures(self, sampling: Sampling) -> list[Picture]:
        """The pictures that `sampling` asks for, in order, each once. Raises ValueError naming `source`."""
        return self.samples([sampling])[sampling].every_frame()


@attrs.define(kw_only=True)
class ImageTask(VisualTask):
    """An image file. `weight` is its number of pixels, in millions."""

    computed: ClassVar[tuple[Computed, ...]] = (
        Computed(value=lambda image: image.id, type=str, output=Output(name="id", order=1)),
    )

    source: str = attrs.field(metadata=output(order=2))
    """Path of the file relative to the input root."""
    width: int = attrs.field(metadata=output(arrow="int32"))
    """Pixels as displayed: after the rotation that its EXIF data name."""
    height: int = attrs.field(metadata=output(arrow="int32"))
    """Pixels as displayed."""
    format: str = ""
    """Pillow's name of the file's format, e.g. `JPEG`."""
    frames: int = attrs.field(default=1, metadata=output("num_frames"))
    """Pictures in the file: more than one in an animation, of which the first counts."""
    bytes: int = attrs.field(default=0, metadata=output("num_bytes"))
    """Size of the file."""

    def amounts(self) -> dict[str, float]:
        """Bytes of the file."""
        return {"bytes": self.bytes}

    def samples(self, wanted: Sequence[Sampling]) -> dict[Sampling, Samples]:
        """The image itself, upright, in the size and colours of each sampling."""
        from stages.vision.image_files import sample_image

        return sample_image(self.path, self.source, wanted)


def image_files(given: type[Task]) -> tuple[str, ...]:
    """Fields of the source's files that a stage opens which looks at the pictures of such tasks."""
    return ("path",) if issubclass(given, ImageTask) else ()
