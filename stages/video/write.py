"""Write: clips, previews and meta files into the output folder."""

from __future__ import annotations

import os

from hpcurate import Stage
from hpcurate.errors import ConfigError, StageError
from stages.video.layout import clip_place, meta_bytes, meta_place, preview_place
from stages.video.publish import publish_bytes, publish_file
from stages.video.tasks import ClipTask


class Write(Stage[ClipTask, ClipTask]):
    """Put each clip's files under `output`; writing the same again changes nothing.

    `clips/<fan>/<id>.mp4` and `previews/<fan>/<id>.webp` are hard links into the store where the
    filesystem allows it, copies elsewhere; `metas/v0/<fan>/<id>.json` describes the clip.
    """

    batch_size = 64
    version = 1

    def __init__(self, output: str, fan: int = 1) -> None:
        """Set where to write.

        Args:
            output: folder, made if missing.
            fan: levels of folders named by two digits of the id, 0 … 3; 0 is Cosmos-Curate's flat layout.
        """
        if not 0 <= fan <= 3:
            raise ConfigError(f"fan: expected 0, 1, 2 or 3, got {fan}")
        self.output, self.fan = output, fan

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """The same clips."""
        for clip in tasks:
            self._write(clip)
        return tasks

    def _write(self, clip: ClipTask) -> None:
        if clip.clip is None:
            raise StageError(f"clip {clip.id} has no file: put Cut before Write")
        publish_file(os.fspath(clip.clip), self._target(clip_place(clip.id, self.fan)))
        if clip.preview is not None:
            publish_file(os.fspath(clip.preview), self._target(preview_place(clip.id, self.fan)))
        publish_bytes(meta_bytes(clip, self.fan), self._target(meta_place(clip.id, self.fan)))

    def _target(self, place: str) -> str:
        return os.path.join(self.output, place)
