"""Index: one table of all clips of the run, and a summary."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from hpcurate import Stage
from hpcurate.task import StageSums
from stages.language.windows import caption_counts
from stages.layout import readable
from stages.output_fields import check_output
from stages.output_table import table_bytes
from stages.publish import publish_bytes
from stages.video.tasks import ClipTask


class Index(Stage[ClipTask, ClipTask]):
    """Write `clips.parquet`, a row per clip sorted by source and start, and `summary.json` under `output`.

    The table has every field of the task that is not `internal()` (`stages.output_fields`), those of a class of your
    own included. The summary counts what became of the inputs in each stage, too.
    """

    gather = True
    counts_upstream = True
    version = 2
    publishes = True

    def __init__(self, output: str, fan: int = 1) -> None:
        """Set where to write.

        Args:
            output: folder, made if missing.
            fan: as for `Write`; the table holds the paths.
        """
        self.output, self.fan = output, fan

    def accept(self, given: type[ClipTask]) -> None:
        """Refuse a class that cannot be written."""
        check_output(given)

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """The same clips."""
        write_index(tasks, self.output, self.fan, cast(type[ClipTask], self.task_types[0]), self.upstream)
        return tasks


def write_index(
    clips: list[ClipTask],
    output: str,
    fan: int,
    kind: type[ClipTask] = ClipTask,
    upstream: Sequence[StageSums] = (),
) -> None:
    """Write both files, whole or not at all. No clips give a table without rows."""
    ordered = sorted(clips, key=lambda clip: (readable(clip.source), clip.start_s, clip.id))
    publish_bytes(table_bytes(ordered, fan, kind), os.path.join(output, "clips.parquet"))
    text = json.dumps(summary(ordered, upstream), indent=2, ensure_ascii=False) + "\n"
    publish_bytes(text.encode(), os.path.join(output, "summary.json"))


def summary(clips: list[ClipTask], upstream: Sequence[StageSums] = ()) -> dict[str, Any]:
    """Counts over all clips, and over all inputs: what failed and what was filtered, in each stage. Pure."""
    per_source = Counter(readable(clip.source) for clip in clips)
    return {
        "num_input_videos": upstream[0].tasks_in if upstream else len(per_source),
        "num_processed_videos": len(per_source),
        "num_failed": sum(stage.failed for stage in upstream),
        "num_filtered": sum(stage.dropped for stage in upstream),
        "total_num_clips_passed": len(clips),
        "total_num_clips_with_webp": sum(clip.preview is not None for clip in clips),
        "total_num_clips_with_audio": sum(clip.has_audio for clip in clips),
        "total_num_frames": sum(clip.frames for clip in clips),
        "total_num_bytes": sum(clip.bytes for clip in clips),
        "total_clip_duration": round(sum(clip.duration_s for clip in clips), 6),
        "captions": caption_counts(window for clip in clips for window in clip.windows),
        "max_clip_duration": round(max((clip.duration_s for clip in clips), default=0.0), 6),
        "stages": {
            one.stage: {"in": one.tasks_in, "out": one.tasks_out, "filtered": one.dropped, "failed": one.failed}
            for one in upstream
        },
        "clips_per_video": dict(sorted(per_source.items())),
    }
