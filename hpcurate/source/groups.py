"""Items of several files, joined by stem."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, check_values, option
from hpcurate.source.base import MISSING, GroupTask, absolute
from hpcurate.source.walk import Trail, follow, is_file, is_folder, listed
from hpcurate.task import Task, stable_id
from hpcurate.units import plural

SHOWN = 3
"""Incomplete items that a message names."""


@attrs.define
class _Found:
    """Members of one item as they turn up."""

    files: dict[str, str] = attrs.field(factory=dict)
    size: int = 0
    twice: list[str] = attrs.field(factory=list)
    """Members that more than one file could be."""

    def add(self, member: str, entry: os.DirEntry[str]) -> None:
        """One more file."""
        if member in self.files:
            self.twice.append(member)
        self.files[member] = entry.path
        self.size += entry.stat().st_size

    def wrong(self, members: Iterable[str]) -> str:
        """What is wrong with the item; empty if nothing is."""
        lacking = [name for name in members if name not in self.files]
        if lacking:
            return f"lacks {', '.join(lacking)}"
        return f"has more than one {self.twice[0]}" if self.twice else ""


@attrs.define(frozen=True)
class Groups:
    """Files of one folder that differ in their extension only are one item, e.g. {video, audio, json}.

    Sorted by path; folders are searched recursively, hidden ones are left out.
    """

    path: str = option(NEEDED, "folder")
    members: dict[str, list[str]] = option(
        NEEDED, "member → its extensions, e.g. {video: [mp4, mkv], audio: [wav], meta: [json]}"
    )
    missing: str = option("error", "an item that lacks a member: `error`, or `skip`, which is counted", choices=MISSING)
    _skipped: list[str] = attrs.field(factory=list, init=False, eq=False)
    task_type: ClassVar[type[Task]] = GroupTask

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")
        if not self.members or not all(self.members.values()):
            raise ConfigError("source.members: expected member → extensions, e.g. {video: [mp4], meta: [json]}")

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        members = {name: sorted(e.lower().lstrip(".") for e in ends) for name, ends in self.members.items()}
        return {"groups": absolute(self.path), "members": members}

    def tasks(self) -> Iterator[GroupTask]:
        """See `Source`."""
        self._skipped.clear()
        root, found = absolute(self.path), False
        for stem, item in self._below(root):
            source, wrong = os.path.relpath(stem, root), item.wrong(self.members)
            if wrong:
                self._skipped.append(f"{source} {wrong}")
                continue
            if self.missing == "error" and self._skipped:
                continue  # from here on the scan only counts
            found = True
            files = {name: item.files[name] for name in self.members}
            yield GroupTask(
                id=stable_id("group", source), source=source, files=files, weight=max(item.size / 1e6, 0.001)
            )
        self._check(found)

    def _check(self, found: bool) -> None:
        if self._skipped and self.missing == "error":
            some = "; ".join(ascii(line) for line in self._skipped[:SHOWN])
            raise ConfigError(
                f"input={self.path}: incomplete: {plural(len(self._skipped), 'item')}: {some}; "
                "complete them, or source.missing=skip"
            )
        if not found:
            raise ConfigError(f"input={self.path}: no item with {', '.join(self.members)} there")

    def notes(self) -> list[str]:
        """What was left out."""
        return [f"{len(self._skipped)} incomplete items left out, e.g. {line!a}" for line in self._skipped[:1]]

    def _below(self, folder: str, trail: Trail = ()) -> Iterator[tuple[str, _Found]]:
        entries = listed(folder)
        items = self._items(entry for entry in entries if is_file(entry))
        folders = {f"{entry.name}/": entry for entry in entries if is_folder(entry)}
        for key in sorted([*items, *folders]):
            if key in items:
                yield os.path.join(folder, key), items[key]
            elif (below := follow(folders[key], trail)) is not None:
                yield from self._below(folders[key].path, below)

    def _items(self, entries: Iterable[os.DirEntry[str]]) -> dict[str, _Found]:
        """Stem → the files of one folder that have it."""
        items: dict[str, _Found] = {}
        for entry in entries:
            stem, member = self._member(entry.name)
            if member:
                items.setdefault(stem, _Found()).add(member, entry)
        return items

    def _member(self, name: str) -> tuple[str, str | None]:
        """(stem, member) of a file name; the longest extension counts."""
        lower, best = name.lower(), ("", "")
        for member, ends in self.members.items():
            for end in ("." + e.lower().lstrip(".") for e in ends):
                if lower.endswith(end) and len(end) > len(best[1]):
                    best = (member, end)
        return name[: len(name) - len(best[1])], best[0] or None
