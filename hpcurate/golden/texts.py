"""From rows as they are on disk to rows that can be compared: files by what they are, and no folder of one run.

Pure but for a look at whether a file is there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import attrs

from hpcurate.golden.values import KeptFile

__all__ = ["OUTPUT", "Reader", "inputs_in", "line_of", "map_texts"]

_IN_A_STORE = re.compile(r"[^\s'\"]*[^/\s]+-[0-9a-f]{12}/shards/[^/\s]+/[^/\s]+/files/[^/\s]+/")
"""Where a text, such as a message, says that a file of some store is."""
MOST_FOLDERS = 1000
OUTPUT = "{output}"
"""Stands for the folder of the result."""


def map_texts(value: Any, by: Callable[[str], Any]) -> Any:
    """The value with each text in it replaced; names of fields stay."""
    if isinstance(value, dict):
        return {key: map_texts(inner, by) for key, inner in value.items()}
    if isinstance(value, list):
        return [map_texts(inner, by) for inner in value]
    return by(value) if isinstance(value, str) else value


def line_of(row: Mapping[str, Any]) -> bytes:
    """A row as it is on disk: readers look for keys as msgspec writes them."""
    return json.dumps(row, separators=(",", ":")).encode()


def inputs_in(row: Mapping[str, Any]) -> list[str]:
    """Texts of a row that are paths of the input: `path`, and the members of a group of files."""
    members = row.get("files")
    found = [row.get("path"), *(members.values() if isinstance(members, dict) else ())]
    return [one for one in found if isinstance(one, str) and os.path.isabs(one)]


@attrs.define
class Reader:
    """Reads rows of one place."""

    root: str
    """Folder that references of files start from."""
    is_reference: Callable[[str], bool]
    inputs: Mapping[str, KeptFile] = attrs.field(factory=dict)
    """How rows name files of the input."""
    output: Optional[str] = None
    """Folder of the result."""
    _folders: Optional[re.Pattern[str]] = attrs.field(default=None, init=False)
    """Those of the files of the input."""

    def rows(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows that can be compared."""
        return [map_texts(row, self) for row in rows]

    def given(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row that a stage is to get: its files, and every other text as it is."""
        found: dict[str, Any] = map_texts(row, self._file)
        return found

    def _file(self, text: str) -> Any:
        if text in self.inputs:
            return self.inputs[text]
        return KeptFile(os.path.join(self.root, text)) if self.is_reference(text) else text

    def __call__(self, text: str) -> Any:
        """A text of a row."""
        found = self._file(text)
        if isinstance(found, KeptFile) or "/" not in text:
            return found
        if self.output and text.startswith(f"{self.output}/") and os.path.isfile(text):
            return KeptFile(text)
        text = _IN_A_STORE.sub("", text.replace(f"{self.root}/", "")) if "/files/" in text else text
        text = text.replace(self.output, OUTPUT) if self.output else text
        return self._of_inputs().sub("", text)

    def _of_inputs(self) -> re.Pattern[str]:
        """Folders of the input's files, as a message names them. Where there are very many none is looked for."""
        if self._folders is None:
            folders = sorted({os.path.dirname(text) for text in self.inputs}, key=len, reverse=True)[: MOST_FOLDERS + 1]
            some = folders if len(folders) <= MOST_FOLDERS else []
            self._folders = re.compile("|".join(rf"{re.escape(one)}/(?=[^/])" for one in some) or r"(?!)")
        return self._folders
