"""Images: what each file is, where broken ones end; and what is written of those that are left."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from hpcurate import FileTask, Resources, Stage
from hpcurate.errors import ConfigError
from hpcurate.task import StageSums
from stages.language.windows import caption_counts
from stages.layout import metadata_path, readable
from stages.output_fields import check_output, metadata, published_files
from stages.output_table import table_bytes
from stages.publish import publish_bytes, publish_file
from stages.vision.image_files import MOST_PIXELS, look_into
from stages.vision.tasks import ImageTask


class ProbeImages(Stage[FileTask, ImageTask]):
    """Open each file, decode all of it, and note size and format.

    Fails for what is no image, cut off, or larger than `max_pixels`: it becomes a dead letter here, and not in each
    stage that looks at pictures. Of an animation, or a file with several pages, the first picture counts.
    """

    resources = Resources(cpus=1, memory="4GB", time="2h")
    version = 1

    def __init__(self, max_pixels: int = MOST_PIXELS) -> None:
        """Set the limit.

        Args:
            max_pixels: width × height at most; what has more fails before it is decoded. Pillow's own limit is the
                default, and the highest value.
        """
        if not 1 <= max_pixels <= MOST_PIXELS:
            raise ConfigError(f"max_pixels: {max_pixels}: expected 1 … {MOST_PIXELS}, which is Pillow's own limit")
        self.max_pixels = max_pixels

    def process(self, tasks: list[FileTask]) -> list[ImageTask]:
        """One image per file."""
        return [self._probe(task) for task in tasks]

    def _probe(self, task: FileTask) -> ImageTask:
        found = look_into(task.path, task.source, self.max_pixels)
        return self.child(
            task, ImageTask, id=task.id, source=task.source, path=task.path, width=found.width, height=found.height,
            format=found.format, frames=found.frames, bytes=task.size, weight=found.width * found.height / 1e6,
        )  # fmt: skip


class WriteImages(Stage[ImageTask, ImageTask]):
    """Put a record of each image under `output`, and the files that stages made of it; the image stays where it is.

    `metas/v0/<fan>/<id>.json` has every field of the task that is not `internal()` (`stages.output_fields`).
    """

    batch_size = 256
    version = 1
    publishes = True

    def __init__(self, output: str, fan: int = 1) -> None:
        """Set where to write.

        Args:
            output: folder, made if missing.
            fan: levels of folders named by two digits of the id, 0 … 3.
        """
        if not 0 <= fan <= 3:
            raise ConfigError(f"fan: expected 0, 1, 2 or 3, got {fan}")
        self.output, self.fan = output, fan

    def accept(self, given: type[ImageTask]) -> None:
        """Refuse a class that cannot be written."""
        check_output(given)

    def process(self, tasks: list[ImageTask]) -> list[ImageTask]:
        """The same images; writing the same again changes nothing."""
        files = {path: file for image in tasks for file, path in published_files(image, self.fan)}
        for path, file in files.items():
            publish_file(os.fspath(file), os.path.join(self.output, path))
        for image in tasks:
            publish_bytes(metadata(image, self.fan), os.path.join(self.output, metadata_path(image.id, self.fan)))
        return tasks


class IndexImages(Stage[ImageTask, ImageTask]):
    """Write `images.parquet`, a row per image sorted by source, and `summary.json` under `output`."""

    gather = True
    counts_upstream = True
    version = 1
    publishes = True

    def __init__(self, output: str, fan: int = 1) -> None:
        """Set where to write.

        Args:
            output: folder, made if missing.
            fan: as for `WriteImages`.
        """
        self.output, self.fan = output, fan

    def accept(self, given: type[ImageTask]) -> None:
        """Refuse a class that cannot be written."""
        check_output(given)

    def process(self, tasks: list[ImageTask]) -> list[ImageTask]:
        """The same images."""
        ordered = sorted(tasks, key=lambda image: (readable(image.source), image.id))
        kind = cast(type[ImageTask], self.task_types[0])
        publish_bytes(table_bytes(ordered, self.fan, kind), os.path.join(self.output, "images.parquet"))
        text = json.dumps(summary(ordered, self.upstream), indent=2, ensure_ascii=False) + "\n"
        publish_bytes(text.encode(), os.path.join(self.output, "summary.json"))
        return tasks


def summary(images: Sequence[ImageTask], upstream: Sequence[StageSums] = ()) -> dict[str, Any]:
    """Counts over all images, and over all inputs: what failed and what was filtered, in each stage. Pure."""
    return {
        "num_input_images": upstream[0].tasks_in if upstream else len(images),
        "num_failed": sum(stage.failed for stage in upstream),
        "num_filtered": sum(stage.dropped for stage in upstream),
        "total_num_images_passed": len(images),
        "total_num_bytes": sum(image.bytes for image in images),
        "captions": caption_counts(window for image in images for window in image.windows),
        "stages": {
            one.stage: {"in": one.tasks_in, "out": one.tasks_out, "filtered": one.dropped, "failed": one.failed}
            for one in upstream
        },
        "formats": dict(sorted(Counter(image.format for image in images).items())),
    }
