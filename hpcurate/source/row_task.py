"""A row of a data set as a task: light values in the row, images and other bytes read from the file when asked for."""

from __future__ import annotations

import builtins
import os
from typing import Any

import attrs

from hpcurate.errors import ConfigError
from hpcurate.inside import HasChanged
from hpcurate.task import Task

__all__ = ["RowTask"]


@attrs.define(kw_only=True)
class RowTask(Task):
    """A row of a file of Arrow or Parquet. A class derived from it has columns as fields; else they are in `data`."""

    source: str
    """The file's path relative to the data set, and the number of the row: `train-00000-of-00002.parquet:17`."""
    split: str
    """Such as `train`."""
    path: str
    """Absolute path of the file."""
    row: int
    """In the file, from 0."""
    size: int
    """Bytes of the file. With the time, shows that it was changed."""
    mtime_ns: int
    """When the file was written, in nanoseconds."""
    data: dict[str, Any] = attrs.field(factory=dict)
    """Column → value, of a class without fields of its own: without the columns that stay in the file."""

    def read(self, column: str) -> Any:
        """A value of the row as Python has it, from the file.

        Raises LookupError for no such column, HasChanged for a file that was written again, ValueError, OSError.
        """
        from hpcurate.source.arrow_files import reader

        status = os.stat(self.path)
        if (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns):
            raise HasChanged(
                f"{self.path}: was written again since it was taken in; type the command with changed=redo"
            )
        return reader(self.path).value(column, self.row)

    def bytes(self, column: str) -> builtins.bytes:
        """Those of a column; of an image, sound or video (`{bytes, path}`) those of the file that it holds or names.

        Raises ValueError for a row that has none, LookupError, OSError.
        """
        value = self.read(column)
        if isinstance(value, dict):
            value = value.get("bytes") if value.get("bytes") is not None else self._beside(value.get("path"))
        if isinstance(value, str):
            value = value.encode()
        if not isinstance(value, builtins.bytes):
            raise ValueError(f"{self.source}: {column} is {value!a:.60}, which has no bytes")
        return value

    def _beside(self, path: str | None) -> builtins.bytes | None:
        """A file that a row names; a relative path starts from the folder of the row's file."""
        if not path:
            return None
        if "://" in path:
            raise ConfigError(f"{self.source}: {path!a} is not on this machine's disks; fetch it first")
        with open(os.path.join(os.path.dirname(self.path), path), "rb") as file:
            return file.read()
