"""Training shards of clips and images: WebDataset tars, in folders by shape, resolution and length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from hpcurate.errors import PipelineError
from hpcurate.fields import convert
from stages.output_fields import check_output
from stages.shards.bins import Bins, bin_of, check_bins, part_of
from stages.shards.numbered import Packed
from stages.shards.order import check_parts, limits, shuffled
from stages.shards.packing import Changed, Packing, check_ids
from stages.shards.samples import ClipSample, vectors_of
from stages.shards.settings import check_folder
from stages.shards.tar_file import END, Member, packed_size, read_tar, write_tar
from stages.vision.tasks import VisualTask, image_files


class WebDataset(Packing[VisualTask, VisualTask]):
    """Pack clips or images into tars that `webdataset` and `datasets` read, in `<shape>/<resolution>/<length>/`.

    A sample is the clip's file, a JSON of all its fields that are not `internal()`, and an `.npy` for each model that
    made a vector of it (`.npz` for those of its captions). The order is a hash of seed and id: the same input gives
    the same bytes. What is packed already stays as it is; what is new gets tars with the next numbers.
    """

    version = 1

    def __init__(
        self,
        output: str,
        bins: Mapping[str, Any] | None = None,
        parts: int = 1,
        seed: int = 0,
        size: str = "500MB",
        samples: int = 10_000,
        files: Sequence[str] = (),
        changed: Changed = "refuse",
    ) -> None:
        """Set where to pack, and how.

        Args:
            output: folder, made if missing. It keeps the settings that it was begun with, and refuses others.
            bins: bounds of the bins: `ratios`, `sides`, `seconds` (see `stages.shards.bins`).
            parts: folders that each bin is split into, by a hash of the ids: so many workers can pack it at once, and
                one has so many fewer rows in memory.
            seed: of the order.
            size: of a tar, at most; Cosmos-Curate's is 500 MB.
            samples: of a tar, at most; img2dataset's is 10 000.
            files: names of further fields whose files are packed, such as preview.
            changed: samples that are packed, and whose fields are others now: refuse them, or keep what is packed.
        """
        self.output, self.parts, self.seed = check_folder(output), check_parts(parts), seed
        self.bins = check_bins(convert(Bins, bins or {}, "bins"))
        self.limits, self.files, self.changed = limits(size, samples), tuple(files), changed

    @property
    def source_files(self) -> tuple[str, ...]:  # type: ignore[override]
        """See `Stage`: an image is the file itself, a clip has a file of its own."""
        return image_files(self.task_types[0])

    def accept(self, given: type[VisualTask]) -> None:
        """Refuse a class that cannot be written, or has no such files."""
        check_output(given)
        for name in self.files:
            if name not in attrs.fields_dict(given):
                raise PipelineError(f"files: {given.__qualname__} has no field {name!r}")

    def settings(self) -> dict[str, Any]:
        """See `Packing`."""
        own = {"parts": self.parts, "seed": self.seed, "files": self.files, "kind": "webdataset", "format": 1}
        return {**own, **attrs.asdict(self.limits), **attrs.asdict(self.bins)}

    def key(self, task: VisualTask) -> str:
        """The folder that it belongs into."""
        seconds = getattr(task, "duration_s", None)
        folder = bin_of(self.bins, task.width, task.height, seconds)  # type: ignore[attr-defined]
        return f"{folder}/{part}" if (part := part_of(task.id, self.parts)) else folder

    def process_group(self, key: str, tasks: list[VisualTask]) -> list[VisualTask]:
        """The same tasks, packed."""
        check_ids(tasks)
        vectors = vectors_of(tasks)
        self.pack(key, Tars(), [ClipSample(task, vectors, self.files) for task in shuffled(tasks, self.seed)])
        return tasks


class Tars:
    """Tars of clips, as `Numbered` wants them."""

    suffix = ".tar"
    overhead = END

    def key(self, sample: ClipSample) -> str:
        """See `Form`."""
        return sample.key

    def item(self, sample: ClipSample) -> tuple[tuple[str, list[Member]], int]:
        """See `Form`."""
        members = sample.members()
        return (sample.key, members), packed_size(members)

    def digests(self, samples: Sequence[ClipSample]) -> Iterator[str]:
        """See `Form`."""
        return (sample.digest() for sample in samples)

    def write(self, path: str, items: Iterable[tuple[str, list[Member]]]) -> None:
        """See `Form`."""
        write_tar(path, items)

    def read(self, path: str) -> Iterable[Packed]:
        """See `Form`."""
        return read_tar(path)
