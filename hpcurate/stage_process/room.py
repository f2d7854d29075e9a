"""Where programs run: an empty folder for each run, what it exchanges with us beside that, and frozen project files.

All of it lies on the node's own disk and is removed afterwards; what a killed process left there, the next one of the
same user on the node removes. Python 3.9.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from hpcurate.errors import BadOutput, BadReturned, BadValues, OutputMissing, ProgramFailed
from hpcurate.node.place import own_folder
from hpcurate.stage_process.own_scratch import own_scratch
from hpcurate.stage_process.records import Returned, returned_lines
from hpcurate.system.folders import remove_folder

COPIED_UP_TO = 64 * 2**20
"""Bytes of a project file that is copied to the node; a larger one is linked."""
VALUES_UP_TO, RETURNED_UP_TO = 16 * 2**20, 2**30
"""Bytes that are read of what a program writes."""


class Rooms:
    """The rooms of one process, and its copy of the project's files."""

    def __init__(self) -> None:
        self._folder = own_scratch(os.path.join(own_folder(), "programs"))

    def project(self, files: Mapping[str, str]) -> str:
        """Lay the files out as they lie in the project; the folder."""
        folder = os.path.join(self._folder, "project")
        for name, path in files.items():
            place = os.path.join(folder, name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if os.path.getsize(path) > COPIED_UP_TO:
                os.symlink(path, place)
                continue
            shutil.copyfile(path, place)
            os.chmod(place, 0o500)
        return folder

    def room(self) -> Room:
        """One more."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)  # a program may have removed more than its own
        return Room(tempfile.mkdtemp(dir=self._folder))

    def close(self) -> None:
        """Remove all of it."""
        remove_folder(self._folder)


class Room:
    """Where one run of a program happens."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.ran = ""
        """The command and the end of its output, once it has run: they tell why what it left is wrong."""
        self.work, self.values, self.tasks, self.returned = (
            os.path.join(folder, name) for name in ("work", "values.json", "tasks.jsonl", "returned.jsonl")
        )

    def __enter__(self) -> Room:
        os.mkdir(self.work)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        remove_folder(self.folder)
        if isinstance(error, ProgramFailed) and not error.details:
            error.details = self.ran

    def write_tasks(self, lines: Sequence[bytes]) -> None:
        """What the program reads as `{tasks}`."""
        with open(self.tasks, "wb") as file:
            file.writelines(lines)

    def read_values(self) -> Any:
        """What it wrote as `{values}`. Raises BadValues."""
        try:
            return json.loads(_content(self.values, VALUES_UP_TO))
        except OSError as error:
            raise BadValues(f"values: the program did not write them: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise BadValues(f"values: the program did not write JSON: {error}") from None

    def read_returned(self) -> list[Returned]:
        """What it wrote as `{returned}`. Raises BadReturned."""
        try:
            return returned_lines(_content(self.returned, RETURNED_UP_TO))
        except OSError as error:
            raise BadReturned(f"returned: the program did not write it: {error.strerror}") from None


def _content(path: str, most: int) -> bytes:
    """Of a file: what is none, such as a pipe or a device, could be read for ever. Raises OSError."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"{found.st_size >> 20} MB, and {most >> 20} MB at most are read")
    with open(path, "rb") as file:
        return file.read()


def check_output(name: str, path: str) -> None:
    """Whether a shard can keep what the program wrote there. Raises OutputMissing, BadOutput."""
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        raise OutputMissing(f"output {name}: the program did not write it: {error.strerror}: {path}") from None
    wrong = _wrong_with(path, os.path.realpath(path)) if stat.S_ISDIR(mode) else _kind(path, mode)
    if wrong:
        raise BadOutput(f"output {name}: {wrong}")


def _kind(path: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return f"{path} is a symbolic link to {os.readlink(path)!r}, and what it leads to is not kept; copy it there"
    return "" if stat.S_ISREG(mode) else f"{path} is no file: a pipe, a socket or a device"


def _wrong_with(folder: str, top: str) -> str:
    """What in a folder cannot be kept; links within it can."""
    files = 0
    unread: list[OSError] = []
    for base, folders, names in os.walk(folder, onerror=unread.append):
        for name in (*folders, *names):
            path = os.path.join(base, name)
            mode = os.lstat(path).st_mode
            files += stat.S_ISREG(mode)
            if stat.S_ISLNK(mode) and not os.path.isabs(os.readlink(path)) and _within(path, top):
                continue
            if not stat.S_ISDIR(mode) and (wrong := _kind(path, mode)):
                return wrong
    if unread:
        return f"{unread[0].filename} cannot be read: {unread[0].strerror}"
    return "" if files else f"{folder} is a folder without a file"


def _within(path: str, top: str) -> bool:
    return os.path.exists(path) and os.path.realpath(path).startswith(os.path.join(top, ""))
