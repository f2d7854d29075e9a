"""Preview: a small animated WebP of each clip."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hpcurate import Stage
from stages.video.media.sampling import Samples, Sampling
from stages.video.samples import UsesSamples, above_zero, samples_of
from stages.video.tasks import ClipTask


class Preview(UsesSamples, Stage[ClipTask, ClipTask]):
    """Write the first seconds of each clip as an animated WebP."""

    version = 2  # since then the file is named by the frames that it shows

    def __init__(
        self, quality: int = 60, effort: int = 4, fps: float = 4.0, height: int = 144, max_s: float = 6.0
    ) -> None:
        """Set how previews are made.

        Args:
            quality: WebP quality, 0 … 100.
            effort: WebP method, 0 (fast) … 6 (small).
            fps: pictures per second.
            height: pixels.
            max_s: seconds from the clip's start that the preview shows at most.
        """
        self.quality, self.effort = quality, effort
        self.sampling = Sampling(fps=above_zero("fps", fps), size=height, side="height", first_s=max_s)

    def samplings(self) -> Sequence[Sampling]:
        """Colour pictures of the clip's start."""
        return [self.sampling]

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """The same clips with `preview` filled in."""
        for clip in tasks:
            self._write(clip)
        return tasks

    def _write(self, clip: ClipTask) -> None:
        from PIL import Image

        samples = samples_of(clip, self.sampling)
        pictures = samples.every_time()[: whole_pictures(samples, self.sampling)]
        first, *rest = (Image.fromarray(picture) for picture in pictures)
        file = self.file(clip, f"0_{last_frame(clip, self.sampling)}.webp")
        first.save(
            os.fspath(file),
            "WEBP",
            save_all=True,
            append_images=rest,
            duration=round(1000 / self.sampling.fps),
            loop=0,
            quality=self.quality,
            method=self.effort,
        )
        clip.preview = file


def last_frame(clip: ClipTask, sampling: Sampling) -> int:
    """Number, within the clip, of the last frame that lies in what the preview shows. Pure."""
    frames = max(1, clip.end_frame - clip.start_frame)
    return max(1, min(frames, round(min(sampling.first_s, clip.duration_s) * clip.fps))) - 1


def whole_pictures(samples: Samples, sampling: Sampling) -> int:
    """How many pictures can be shown for their whole `1 / fps` within the clip; at least one. Pure."""
    return max(1, int(min(samples.duration_s, sampling.first_s) * sampling.fps + 1e-6))
