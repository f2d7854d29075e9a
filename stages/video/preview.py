"""Preview: a small animated WebP of each clip."""

from __future__ import annotations

import os

from hpcurate import Stage
from stages.video.motion import samples_of
from stages.video.tasks import ClipTask


class Preview(Stage[ClipTask, ClipTask]):
    """Write the pictures that `Cut` took as an animated WebP; their size, rate and length are Cut's parameters."""

    version = 1

    def __init__(self, quality: int = 60, effort: int = 4) -> None:
        """Set how previews are encoded.

        Args:
            quality: WebP quality, 0 … 100.
            effort: WebP method, 0 (fast) … 6 (small).
        """
        self.quality, self.effort = quality, effort

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """The same clips with `preview` filled in."""
        for clip in tasks:
            self._write(clip)
        return tasks

    def _write(self, clip: ClipTask) -> None:
        from PIL import Image

        samples = samples_of(clip)
        first, *rest = (Image.fromarray(picture) for picture in samples.preview)
        file = self.file(clip, "preview.webp")
        first.save(
            os.fspath(file),
            "WEBP",
            save_all=True,
            append_images=rest,
            duration=round(1000 / samples.preview_fps),
            loop=0,
            quality=self.quality,
            method=self.effort,
        )
        clip.preview = file
