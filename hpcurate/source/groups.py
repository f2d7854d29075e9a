"""Items of several files, joined by stem."""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, check_values, option, suggestion
from hpcurate.source.base import MISSING, GroupTask, absolute
from hpcurate.source.walk import Trail, follow, is_file, is_folder, listed
from hpcurate.task import Task, stable_id
from hpcurate.units import plural

SHOWN = 3
"""Incomplete items that a message names."""
Members = Mapping[str, Sequence[str]]
"""Member → its extensions."""


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

    def join(self, other: _Found) -> None:
        """Those of another folder."""
        self.files |= other.files
        self.size += other.size
        self.twice += other.twice

    def wrong(self, members: Iterable[str]) -> str:
        """What is wrong with the item; empty if nothing is."""
        lacking = [name for name in members if name not in self.files]
        if lacking:
            return f"lacks {', '.join(lacking)}"
        return f"has more than one {self.twice[0]}" if self.twice else ""


@attrs.define(frozen=True)
class Groups:
    """Files of one folder that differ in their extension only are one item, e.g. {video, audio, json}.

    Sorted by path; folders are searched recursively, hidden ones are left out. Members may lie below folders of their
    own: then files of one relative path, extension aside, are one item.
    """

    path: str = option(NEEDED, "folder")
    members: dict[str, list[str]] = option(
        NEEDED, "member → its extensions, e.g. {video: [mp4, mkv], audio: [wav], meta: [json]}"
    )
    missing: str = option("error", "an item that lacks a member: `error`, or `skip`, which is counted", choices=MISSING)
    folders: dict[str, str] = option(
        dict, "member → the folder that it lies below, if that is another one than `path`, e.g. {meta: /captions}"
    )
    _skipped: list[str] = attrs.field(factory=list, init=False, eq=False)
    task_type: ClassVar[type[Task]] = GroupTask

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")
        if not self.members or not all(self.members.values()):
            raise ConfigError("source.members: expected member → extensions, e.g. {video: [mp4], meta: [json]}")
        for name in self.folders:
            if name not in self.members:
                raise ConfigError(f"source.folders.{name}: no such member; {suggestion(name, sorted(self.members))}")

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        members = {name: sorted(e.lower().lstrip(".") for e in ends) for name, ends in self.members.items()}
        folders = {name: absolute(folder) for name, folder in self.folders.items()}
        return {"groups": absolute(self.path), "members": members} | ({"folders": folders} if folders else {})

    def tasks(self) -> Iterator[GroupTask]:
        """See `Source`."""
        self._skipped.clear()
        found = False
        for source, item in self._joined():
            wrong = item.wrong(self.members)
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

    def _joined(self) -> Iterator[tuple[str, _Found]]:
        """Relative stem → the files of all folders that have it, in order."""
        roots: dict[str, dict[str, list[str]]] = {}
        for name, ends in self.members.items():
            roots.setdefault(absolute(self.folders.get(name, self.path)), {})[name] = ends
        streams = [_relative(root, members) for root, members in roots.items()]
        for stem, same in itertools.groupby(heapq.merge(*streams, key=itemgetter(0)), key=itemgetter(0)):
            joined = _Found()
            for _, item in same:
                joined.join(item)
            yield stem, joined


def _relative(root: str, members: Members) -> Iterator[tuple[str, _Found]]:
    """The same as `_below`, by relative path."""
    for stem, item in _below(root, members):
        yield os.path.relpath(stem, root), item


def _below(folder: str, members: Members, trail: Trail = ()) -> Iterator[tuple[str, _Found]]:
    """Path without extension → the files that have it, sorted."""
    entries = listed(folder)
    items = _items((entry for entry in entries if is_file(entry)), members)
    folders = {f"{entry.name}/": entry for entry in entries if is_folder(entry)}
    for key in sorted([*items, *folders]):
        if key in items:
            yield os.path.join(folder, key), items[key]
        elif (below := follow(folders[key], trail)) is not None:
            yield from _below(folders[key].path, members, below)


def _items(entries: Iterable[os.DirEntry[str]], members: Members) -> dict[str, _Found]:
    """Stem → the files of one folder that have it."""
    items: dict[str, _Found] = {}
    for entry in entries:
        stem, member = _member(entry.name, members)
        if member:
            items.setdefault(stem, _Found()).add(member, entry)
    return items


def _member(name: str, members: Members) -> tuple[str, str | None]:
    """(stem, member) of a file name; the longest extension counts. Pure."""
    lower, best = name.lower(), ("", "")
    for member, ends in members.items():
        for end in ("." + e.lower().lstrip(".") for e in ends):
            if lower.endswith(end) and len(end) > len(best[1]):
                best = (member, end)
    return name[: len(name) - len(best[1])], best[0] or None
