"""Index: one table of all clips of the run, and a summary."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from hpcurate import Stage
from stages.video.layout import clip_place, preview_place, rate, readable
from stages.video.publish import publish_bytes
from stages.video.tasks import ClipTask

if TYPE_CHECKING:
    import pyarrow


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
        write_index(tasks, self.output, self.fan)
        return tasks


def write_index(clips: list[ClipTask], output: str, fan: int) -> None:
    """Write both files, whole or not at all. No clips give a table without rows and a summary of zeros."""
    ordered = sorted(clips, key=lambda clip: (readable(clip.source), clip.start_s, clip.id))
    publish_bytes(table_bytes([row(clip, fan) for clip in ordered]), os.path.join(output, "clips.parquet"))
    text = json.dumps(summary(ordered), indent=2, ensure_ascii=False) + "\n"
    publish_bytes(text.encode(), os.path.join(output, "summary.json"))


def row(clip: ClipTask, fan: int) -> dict[str, Any]:
    """A clip as a row of the table. Pure."""
    return {
        "id": clip.id,
        "source": readable(clip.source),
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "start_frame": clip.start_frame,
        "end_frame": clip.end_frame,
        "frames": clip.frames,
        "fps": rate(clip),
        "width": clip.width,
        "height": clip.height,
        "has_audio": clip.has_audio,
        "motion": clip.motion,
        "sharpness": clip.sharpness,
        "brightness": clip.brightness,
        "black": clip.black,
        "frozen": clip.frozen,
        "encoder": clip.encoder,
        "bytes": clip.bytes,
        "sha256": clip.sha256,
        "clip": clip_place(clip.id, fan),
        "preview": preview_place(clip.id, fan) if clip.preview else None,
    }


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


def table_bytes(rows: list[dict[str, Any]]) -> bytes:
    """The table as Parquet: the same rows give the same bytes."""
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema()), sink, compression="zstd")
    return sink.getvalue()


def schema() -> pyarrow.Schema:
    """Columns of the table."""
    import pyarrow as pa

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    return pa.schema(
        [
            pa.field("id", text, nullable=False),
            pa.field("source", text, nullable=False),
            pa.field("start_s", real, nullable=False),
            pa.field("end_s", real, nullable=False),
            pa.field("start_frame", whole, nullable=False),
            pa.field("end_frame", whole, nullable=False),
            pa.field("frames", whole, nullable=False),
            pa.field("fps", real, nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("has_audio", pa.bool_(), nullable=False),
            pa.field("motion", real),
            pa.field("sharpness", real),
            pa.field("brightness", real),
            pa.field("black", real),
            pa.field("frozen", real),
            pa.field("encoder", text),
            pa.field("bytes", whole, nullable=False),
            pa.field("sha256", text, nullable=False),
            pa.field("clip", text, nullable=False),
            pa.field("preview", text),
        ]
    )
