"""Tars as inputs: their members, or the samples of a WebDataset, as tasks. Nothing is unpacked.

A source lists the tars (`hpcurate.source.Files`), these stages read their tables of contents on workers.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from hpcurate import FileTask, Resources, Stage, stable_id
from hpcurate.inside import Inside
from hpcurate.source.base import suffixes
from stages.datasets.tar_table import LeftOut, Place, TarError, table_of
from stages.datasets.tasks import Member, WebDatasetSample

REPLACED = "replaced by a later member of the same name"
_META = re.compile(r"__[^/]*__(/|$)")
"""Files about the tar itself, which webdataset passes over, too."""


class Contents:
    """Members of a tar that can be read where they are, in order, and how much was left out for which reason."""

    def __init__(self, entries: Iterable[Place | LeftOut], mtime_ns: int) -> None:
        places, self.mtime_ns = dict[str, Place](), mtime_ns
        self.counts, self.bytes = Counter[str](), Counter[str]()
        for entry in entries:
            if isinstance(entry, LeftOut):
                self.leave(entry.reason, entry.size)
                continue
            before = places.pop(entry.name, None)
            if before is not None:  # as it is unpacked
                self.leave(REPLACED, before.size)
            places[entry.name] = entry
        self.places = list(places.values())

    def leave(self, reason: str, size: int) -> None:
        """Count what is no task."""
        self.counts[reason] += 1
        self.bytes[reason] += size

    @property
    def said(self) -> str | None:
        """All reasons: what is left out of a tar that is dropped is not counted, as the whole of it is lost."""
        return "; ".join(self.counts) or None


def contents(task: FileTask) -> Contents:
    """Those of a tar. Raises TarError naming it."""
    try:
        written = os.stat(task.path).st_mtime_ns  # before its contents: if it is being written, they do not count
        return Contents(table_of(task.path), written)
    except TarError as error:
        raise TarError(f"{task.source}: {error}") from None


def report(stage: Stage[FileTask, Any], task: FileTask, found: Contents) -> None:
    """What was left out of a tar: counted with the stage, and in its log."""
    for reason, count in found.counts.items():
        print(f"{task.source}: left out: {reason}" + f" ({count})" * (count > 1), flush=True)
        stage.left_out(task, reason, count, bytes=found.bytes[reason])


class Members(Stage[FileTask, Member]):
    """Each file in each tar as a task, without unpacking: the video and image pipelines read it where it is.

    Of a tar that is damaged or cut off, what comes before is taken, and what is lost is reported with the place. Links,
    sparse files and hidden ones are left out, and counted; of several members with one name the last is taken, as when
    a tar is unpacked. Compressed tars are dead letters.
    """

    resources = Resources(cpus=1, memory="2GB", time="1h")
    version = 1

    def __init__(self, extensions: Sequence[str] = ()) -> None:
        """Set what is taken.

        Args:
            extensions: take only these, e.g. [mp4, mkv], without regard to case; empty takes all.
        """
        self.suffixes = suffixes(tuple(extensions))

    def process(self, tasks: list[FileTask]) -> list[Member]:
        """The members of each tar, in order."""
        return [member for task in tasks for member in self._members(task)]

    def _members(self, task: FileTask) -> list[Member]:
        found = contents(task)
        places = [p for p in found.places if not self.suffixes or p.name.lower().endswith(self.suffixes)]
        report(self, task, found)
        if not places:
            self.drop(task, "no member of these extensions" if self.suffixes else "no member", value=found.said)
        return [self._member(task, place, found.mtime_ns) for place in places]

    def _member(self, task: FileTask, place: Place, written: int) -> Member:
        source = f"{task.source}/{place.name}"
        path = str(Inside(task.path, place.offset, place.offset + place.size, written))
        return self.child(
            task, Member, id=stable_id("member", source), source=source, path=path,
            size=place.size, mtime_ns=place.mtime_ns,
            weight=max(place.size / 1e6, 0.001),
        )  # fmt: skip


class Samples(Stage[FileTask, WebDatasetSample]):
    """Each sample of each tar of a WebDataset as a task: the files whose paths agree up to the first dot of the name.

    What is damaged is reported as by `Members`. Unlike webdataset's reader it does not want the files of a sample side
    by side in the tar.
    """

    resources = Resources(cpus=1, memory="2GB", time="1h")
    version = 1

    def __init__(self, required: Sequence[str] = ()) -> None:
        """Set what a sample must have.

        Args:
            required: extensions that every sample has, e.g. [mp4, json]; one without them is left out, and counted.
        """
        self.required = tuple(extension.lower().lstrip(".") for extension in required)

    def process(self, tasks: list[FileTask]) -> list[WebDatasetSample]:
        """The samples of each tar, in the order of their first files."""
        return [sample for task in tasks for sample in self._samples(task)]

    def _samples(self, task: FileTask) -> list[WebDatasetSample]:
        found = contents(task)
        samples = in_samples(found)
        for members in [members for members in samples.values() if not members.keys() >= set(self.required)]:
            missing = next(extension for extension in self.required if extension not in members)
            found.leave(f"a sample without {missing}", sum(place.size for place in members.values()))
        whole = {stem: members for stem, members in samples.items() if members.keys() >= set(self.required)}
        report(self, task, found)
        if not whole:
            self.drop(task, "no sample", value=found.said)
        return [self._sample(task, stem, members, found.mtime_ns) for stem, members in whole.items()]

    def _sample(self, task: FileTask, stem: str, members: dict[str, Place], written: int) -> WebDatasetSample:
        source = f"{task.source}/{stem}"
        return self.child(
            task, WebDatasetSample, id=stable_id("sample", source), source=source, tar=task.path, mtime_ns=written,
            members={extension: [place.offset, place.size] for extension, place in members.items()},
            weight=max(sum(place.size for place in members.values()) / 1e6, 0.001),
        )  # fmt: skip


def in_samples(found: Contents) -> dict[str, dict[str, Place]]:
    """Stem → extension → member. What has no extension is counted as left out."""
    samples = dict[str, dict[str, Place]]()
    for place in found.places:
        stem, extension = stem_and_extension(place.name)
        if not extension or _META.match(place.name):
            found.leave("no part of a sample", place.size)
            continue
        members = samples.setdefault(stem, {})
        if extension in members:  # x.JPG beside x.jpg
            found.leave(REPLACED, members[extension].size)
        members[extension] = place
    return samples


def stem_and_extension(name: str) -> tuple[str, str]:
    """`a.b/000.seg.PNG` → (`a.b/000`, `seg.png`), as webdataset divides names. Pure."""
    folder, base = posixpath.split(name)
    stem, _, extension = base.partition(".")
    return posixpath.join(folder, stem), extension.lower()
