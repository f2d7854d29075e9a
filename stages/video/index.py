"""Index: one table of all clips of the run, and a summary."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from typing import Any, cast

from hpcurate import Stage
from stages.layout import readable
from stages.output_fields import record, schema
from stages.publish import publish_bytes
from stages.video.tasks import ClipTask


class Index(Stage[ClipTask, ClipTask]):
    """Write `clips.parquet`, a row per clip sorted by source and start, and `summary.json` under `output`."""

    gather = True
    version = 1

    def __init__(self, output: str, fan: int = 1) -> None:
        """Set where to write.

        Args:
            output: folder, made if missing.
            fan: as for `Write`; the table holds the paths.
        """
        self.output, self.fan = output, fan

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """The same clips."""
        kind = cast(type[ClipTask], self.task_types[0])
        write_index(tasks, self.output, self.fan, kind)
        return tasks


def write_index(clips: list[ClipTask], output: str, fan: int, kind: type[ClipTask] = ClipTask) -> None:
    """Write both files, whole or not at all. No clips give a table without rows and a summary of zeros."""
    ordered = sorted(clips, key=lambda clip: (readable(clip.source), clip.start_s, clip.id))
    publish_bytes(table_bytes(ordered, fan, kind), os.path.join(output, "clips.parquet"))
    text = json.dumps(summary(ordered), indent=2, ensure_ascii=False) + "\n"
    publish_bytes(text.encode(), os.path.join(output, "summary.json"))


def summary(clips: list[ClipTask]) -> dict[str, Any]:
    """Counts over all clips. Videos of which no clip is left are not among them. Pure."""
    per_source = Counter(readable(clip.source) for clip in clips)
    return {
        "num_videos": len(per_source),
        "num_clips": len(clips),
        "total_clip_duration_s": round(sum(clip.duration_s for clip in clips), 6),
        "max_clip_duration_s": round(max((clip.duration_s for clip in clips), default=0.0), 6),
        "num_frames": sum(clip.frames for clip in clips),
        "num_bytes": sum(clip.bytes for clip in clips),
        "num_with_audio": sum(clip.has_audio for clip in clips),
        "num_with_preview": sum(clip.preview is not None for clip in clips),
        "clips_per_video": dict(sorted(per_source.items())),
    }


def table_bytes(clips: list[ClipTask], fan: int, kind: type[ClipTask] = ClipTask) -> bytes:
    """The table of clips of one class as Parquet: the same clips give the same bytes."""
    import pyarrow
    import pyarrow.parquet

    rows = [record(clip, "column", fan) for clip in clips]
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema(kind)), sink, compression="zstd")
    return sink.getvalue()
