"""Why workers of a round left before its work was done: `failures/<index>.json` in the folder of its submission."""

from __future__ import annotations

import json
import os
from contextlib import suppress

import msgspec

from hpcurate.failures import Report
from hpcurate.store.filesystem import Filesystem

__all__ = ["read_reports", "write_report"]


def write_report(filesystem: Filesystem, submission: str, index: int, report: Report) -> None:
    """Of the worker with that index; one that was begun again replaces its own. Raises OSError."""
    filesystem.make_folders(_folder(submission))
    plain = json.dumps(msgspec.to_builtins(report)).encode() + b"\n"
    filesystem.replace(os.path.join(_folder(submission), f"{index:04d}.json"), plain)


def read_reports(filesystem: Filesystem, submission: str) -> list[Report]:
    """All that can be read, by the index of their workers. Raises OSError where the folder cannot be listed."""
    names = sorted(name for name in filesystem.names(_folder(submission)) if name.endswith(".json") and name[0] != ".")
    found = []
    for name in names:
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            found.append(msgspec.convert(json.loads(filesystem.read(os.path.join(_folder(submission), name))), Report))
    return found


def _folder(submission: str) -> str:
    return os.path.join(submission, "failures")
