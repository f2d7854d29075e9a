"""Whether files that a run writes would be inputs of the next one: results beside the input must not grow results."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence

from hpcurate.errors import ConfigError
from hpcurate.source.base import Source, absolute, suffixes
from hpcurate.source.exclude import Exclude
from hpcurate.source.files import Files
from hpcurate.source.names import calls, regex_of, wanted
from hpcurate.source.several import Several
from hpcurate.task import FileTask

__all__ = ["taken_again"]

Written = Callable[[str], Sequence[str]]
"""What an item is called → paths of files that are written for it."""


def taken_again(source: Source, written: Written) -> str | None:
    """A path that is written and that the source would take the next time; None where that cannot be.

    Only sources of files are asked; the name of an item is that of their first.
    """
    excluded = list(_exclusions(source))
    for name, files in _sources_of_files(source):
        if not any(_relative(files, path) for path in written(f"{name}x")):
            continue
        item = _first(files)
        for path in written(f"{name}{item}") if item else ():
            relative = _relative(files, path)
            if relative not in ("", item) and not _is_excluded(excluded, f"{name}{relative}", path, name):
                return path
    return None


def _sources_of_files(source: Source) -> Iterator[tuple[str, Files]]:
    """Each, with what the names of its items begin with."""
    if isinstance(source, Several):
        for name, one in source.sources.items():
            yield from ((f"{name}/", files) for _, files in _sources_of_files(one))
    elif isinstance(source, Files):
        yield "", source
    elif hasattr(source, "source"):
        yield from _sources_of_files(source.source)


def _exclusions(source: Source) -> Iterator[str]:
    if isinstance(source, Exclude):
        yield from source.exclude
    if hasattr(source, "source"):
        yield from _exclusions(source.source)


def _first(files: Files) -> str:
    """What its first item is called; empty if it cannot be read: its scan says why."""
    try:
        return next(task.source for task in files.tasks())
    except ConfigError:
        return ""


def _relative(files: Files, path: str) -> str:
    """What a file at this path would be called; empty if it would not be taken. Hidden ones are not."""
    ends = suffixes(files.extensions)
    if ends and not path.lower().endswith(ends):
        return ""
    root = _real(files.path)
    if glob.has_magic(root) and not os.path.isdir(root):
        return path if re.fullmatch(regex_of(absolute(files.path)), absolute(path), re.DOTALL) else ""
    relative = os.path.relpath(_real(path), root) if _real(path).startswith(f"{root.rstrip('/')}/") else ""
    return "" if any(part.startswith(".") for part in relative.split("/")) else relative


def _real(path: str) -> str:
    return path if "://" in path else os.path.realpath(absolute(path))


def _is_excluded(excluded: Sequence[str], source: str, path: str, name: str) -> bool:
    item = FileTask(id=source, source=source, path=path, size=0, mtime_ns=0)
    return any(wanted(text, "exclude").has(calls(item, bool(name))) for text in excluded)
