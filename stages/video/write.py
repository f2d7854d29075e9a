"""Write: clips, previews and metadata files into the output folder."""

from __future__ import annotations

import os

from hpcurate import Stage
from hpcurate.errors import ConfigError, StageError
from stages.layout import metadata_path
from stages.output_fields import check_output, metadata, published_files
from stages.publish import publish_bytes, publish_file
from stages.video.tasks import ClipTask


class Write(Stage[ClipTask, ClipTask]):
    """Put each clip's files under `output`; writing the same again changes nothing.

    `clips/<fan>/<id>.mp4` and `previews/<fan>/<id>/<frames>.webp` are hard links into the store where the
    filesystem allows it, copies elsewhere; `metas/v0/<fan>/<id>.json` describes the clip: every field of the task
    that is not `internal()` (`stages.output_fields`), those of a class of your own included.
    """

    batch_size = 64
    small_batches = True
    version = 2
    publishes = True

    def __init__(self, output: str, fan: int = 1) -> None:
        """Set where to write.

        Args:
            output: folder, made if missing.
            fan: levels of folders named by two digits of the id, 0 … 3; 0 is Cosmos-Curate's flat layout.
        """
        if not 0 <= fan <= 3:
            raise ConfigError(f"fan: expected 0, 1, 2 or 3, got {fan}")
        self.output, self.fan = output, fan

    def accept(self, given: type[ClipTask]) -> None:
        """Refuse a class that cannot be written."""
        check_output(given)

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """The same clips."""
        for clip in tasks:
            self._write(clip)
        return tasks

    def _write(self, clip: ClipTask) -> None:
        if clip.clip is None:
            raise StageError(f"clip {clip.id} has no file: put Cut before Write")
        for file, path in published_files(clip, self.fan):
            publish_file(os.fspath(file), os.path.join(self.output, path))
        publish_bytes(metadata(clip, self.fan), os.path.join(self.output, metadata_path(clip.id, self.fan)))
