"""A value again, from its file and what stands beside it. Python 3.9."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Optional, Union

import msgspec

from hpcurate.errors import SavedError
from hpcurate.savers.base import Saver
from hpcurate.savers.choice import Named, saver_named
from hpcurate.savers.writing import FORMAT
from hpcurate.task import Saved, Task, saved_of

__all__ = ["About", "about_of", "load", "load_of"]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a saved value."""

    format: int
    name: str
    stage: str
    """That saved it, or the member of a chain."""
    task: str
    """Its id."""
    saver: str
    """By name, or `module:Class`."""
    saver_version: int = 1
    kind: str = msgspec.field(default="", name="class")
    """Class of the value, `module:qualname`."""
    versions: dict[str, str] = {}
    """Distribution → version."""
    facts: dict[str, Any] = {}
    """What its saver has written down."""


def load_of(task: Union[Task, Mapping[str, Any]], name: str, saver: Named = None) -> Any:
    """What is saved with a task under that name; also of a row as plain values. Raises SavedError."""
    where, found = _saved_with(task)
    if name not in found:
        there = f"it has {', '.join(found)}" if found else "nothing is saved with it"
        raise SavedError(
            f"task {where!r}: nothing is saved as {name!r}; {there} (a task that a stage made of another has what was "
            "saved with it, as by self.save(child, name, task.saved[name]))"
        )
    return load(found[name], saver)


def _saved_with(task: Union[Task, Mapping[str, Any]]) -> tuple[str, Mapping[str, Union[Saved, str]]]:
    if isinstance(task, Task):
        return task.id, saved_of(task)
    rows = task.get("saved", {})
    found = {name: one["file"] for name, one in rows.items() if isinstance(one, Mapping) and "file" in one}
    return str(task.get("id")), found


def load(file: Union[Saved, str, os.PathLike[str]], saver: Named = None) -> Any:
    """A saved value, by its file. Where its saver is one that has to be named (pickle), `saver` does that.

    Classes of records and networks, and savers of your own, are imported by the names that stand beside the file: load
    what you trust. Raises SavedError.
    """
    path = os.fspath(file)
    about = about_of(path)
    name, one = saver_named(about.saver if saver is None else saver)
    if name != about.saver:
        raise SavedError(f"{path}: was saved by {about.saver!r}, not by {name!r}")
    if one.by_name_only and saver is None:
        raise SavedError(
            f"{path}: was saved by {name!r}; reading it runs code that is in the file: if you trust that, load it with "
            f"saver={name!r}"
        )
    if about.saver_version > one.version:
        there = f"version {about.saver_version} of saver {name!r}"
        raise SavedError(f"{path}: was written by {there}, and here is {one.version}; install a newer one")
    return _read(one, path, about)


def _read(saver: Saver, path: str, about: About) -> Any:
    try:
        return saver.read(path, about.facts)
    except SavedError as error:
        raise SavedError(f"{path}: {error}") from error
    except ImportError as error:
        needed = error.name or str(error)
        raise SavedError(f"{path}: saver {about.saver!r} needs {needed} here; pip install {needed}") from error
    except Exception as error:  # whatever a library says of a file that is damaged, or gone
        what = f"{type(error).__name__}: {error!s:.300}"
        raise SavedError(f"{path}: saver {about.saver!r} cannot read it: {what}") from error


def about_of(path: str, most: Optional[int] = None) -> About:
    """What stands beside the file; with `most` no more than so many bytes are read. Raises SavedError."""
    beside = f"{path}.json"
    try:
        with open(beside, "rb") as file:
            about = msgspec.convert(json.loads(file.read(-1 if most is None else most)), About)
    except FileNotFoundError as error:
        raise SavedError(
            f"{beside}: is not there; keep=results frees the files that no stage needs any more, an export without "
            "--files all leaves those behind that a later stage has read (the run's command with rerun=STAGE makes "
            "them again), and what `hpcurate results --to` writes has this file beside the other one"
        ) from error
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise SavedError(f"{beside}: what is known of a saved value cannot be read: {error}") from error
    if about.format > FORMAT:
        raise SavedError(f"{beside}: has format {about.format}, and this hpcurate reads {FORMAT}; use a newer one")
    return about
