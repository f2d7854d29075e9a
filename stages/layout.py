"""Where the files of a clip lie in the output. Pure functions.

The names of folders are those of Cosmos-Curate.
"""

from __future__ import annotations

METADATA = "metas"
"""Folder of the metadata files."""


def output_path(folder: str, task_id: str, suffix: str, fan: int) -> str:
    """Path relative to the output: `clips/3f/3f0c….mp4` with one level of `fan`, `clips/3f0c….mp4` with none."""
    levels = [task_id[2 * k : 2 * k + 2] for k in range(fan)]
    return "/".join([folder, *levels, task_id + suffix])


def metadata_path(task_id: str, fan: int) -> str:
    """Where a clip's metadata file lies."""
    return output_path(f"{METADATA}/v0", task_id, ".json", fan)


def readable(name: str) -> str:
    """A file name as valid text: undecodable bytes become `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
