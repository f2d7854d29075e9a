"""Where a clip's files lie in the output, and what its meta file says. Pure functions.

Names of folders and of the first meta fields are those of Cosmos-Curate.
"""

from __future__ import annotations

import json
from typing import Any

from stages.video.tasks import ClipTask


def place(kind: str, task_id: str, suffix: str, fan: int) -> str:
    """Path relative to the output: `clips/3f/3f0c….mp4` with one level of `fan`, `clips/3f0c….mp4` with none."""
    levels = [task_id[2 * k : 2 * k + 2] for k in range(fan)]
    return "/".join([kind, *levels, task_id + suffix])


def clip_place(task_id: str, fan: int) -> str:
    """Where the clip lies."""
    return place("clips", task_id, ".mp4", fan)


def meta_place(task_id: str, fan: int) -> str:
    """Where its meta file lies."""
    return place("metas/v0", task_id, ".json", fan)


def preview_place(task_id: str, fan: int) -> str:
    """Where its preview lies."""
    return place("previews", task_id, ".webp", fan)


def readable(name: str) -> str:
    """A file name as valid text: undecodable bytes become `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def rate(clip: ClipTask) -> float:
    """Frames per second, rounded for files."""
    return round(float(clip.fps), 6)


def meta(clip: ClipTask, fan: int) -> dict[str, Any]:
    """What the meta file of a clip holds: nothing that differs between two runs."""
    return {
        "span_uuid": clip.id,
        "source_video": readable(clip.source),
        "duration_span": [round(clip.start_s, 6), round(clip.end_s, 6)],
        "frame_span": [clip.start_frame, clip.end_frame],
        "width_source": clip.source_width,
        "height_source": clip.source_height,
        "framerate_source": rate(clip),
        "codec_source": clip.source_codec,
        "rotation_source": clip.rotation,
        "variable_framerate": clip.variable_frame_rate,
        "clip_location": clip_place(clip.id, fan),
        "preview_location": preview_place(clip.id, fan) if clip.preview else None,
        "width": clip.width,
        "height": clip.height,
        "framerate": rate(clip),
        "num_frames": clip.frames,
        "video_codec": clip.source_codec if clip.encoder == "copy" else "h264",
        "has_audio": clip.has_audio,
        "num_bytes": clip.bytes,
        "sha256": clip.sha256,
        "motion_score": clip.motion,
        "encoder": clip.encoder,
        "sharpness": clip.sharpness,
        "brightness": clip.brightness,
        "black_share": clip.black,
        "frozen_share": clip.frozen,
    }


def meta_bytes(clip: ClipTask, fan: int) -> bytes:
    """The meta file."""
    return (json.dumps(meta(clip, fan), indent=2, ensure_ascii=False) + "\n").encode()
