"""One value becomes two files: its own, and beside it what is known of it. Python 3.9."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from typing import Any, Callable

from hpcurate.errors import SavedError
from hpcurate.savers.base import Saver, class_name
from hpcurate.task import File, Saved

FORMAT = 1
"""Of what is written beside a file."""
FOLDER = "saved"
"""Of a task's files, those of saved values lie in a folder of this name: no other file has the same place."""
NAME = re.compile(r"\w[\w -]{0,99}")
"""Names of values: they are names of files, and a dot begins the suffix."""


def write(
    name: str, value: Any, saver: tuple[str, Saver], place: Callable[[str], File], whose: Mapping[str, str]
) -> Saved:
    """Write both; `place` gives the place of a file of the task; `whose`: its id, and the stage. Raises SavedError."""
    saver_name, one = saver
    saved = Saved(place(f"{FOLDER}/{name}{one.suffix}"), place(f"{FOLDER}/{name}{one.suffix}.json"))
    try:
        facts = dict(_written(one, value, os.fspath(saved.file)))
        about = {
            "format": FORMAT,
            "name": name,
            **whose,
            "saver": saver_name,
            "saver_version": one.version,
            "class": class_name(type(value)),
            "versions": versions(one.libraries),
            "facts": facts,
        }
        _write_about(about, os.fspath(saved.about))
    except SavedError:  # of others, a full disk is one: whoever looks for the reason has to find it full
        for path in (saved.file, saved.about):
            with suppress(OSError):
                os.unlink(path)
        raise
    return saved


def check_name(name: Any) -> None:
    """Raises SavedError for what cannot be the name of a value."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name.encode()) > 200:
        raise SavedError(
            f"{name!r:.120}: a name has 1 to 100 letters, digits, `_`, `-` and spaces, the first no `-` or space"
        )


def _written(saver: Saver, value: Any, path: str) -> Mapping[str, Any]:
    try:
        facts = saver.write(value, path)
    except ImportError as error:
        raise SavedError(f"it needs {error.name or error} in the stage's environment") from error
    if not isinstance(facts, Mapping):
        raise SavedError(f"its write(…) returned a {type(facts).__name__}; return what is known of the value, or {{}}")
    return facts


def _write_about(about: Mapping[str, Any], path: str) -> None:
    try:
        text = json.dumps(about, indent=1, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SavedError(f"its write(…) returned no plain data: {error}") from None
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{text}\n")


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Distribution → version, of those that are there."""
    found = {}
    for name in libraries:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
