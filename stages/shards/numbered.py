"""A folder of numbered files that only grows: `000000.tar`, `000001.tar`, …, each with an index, `000000.index`.

A file gets its name when it is whole, and only if nobody has that number: it is the record of what is packed, and the
index is read from it. So of several writers (an attempt that was given up and still runs, and the one after it) each
packs only what no file has that was there before: no sample is packed twice, none is lost, and a file that is there is
never written again. Whoever is killed between the two leaves a file without an index, which the next one makes.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import attrs
import msgspec

from hpcurate.store.access import is_groups, make_folders
from hpcurate.store.filesystem import name_once
from stages.publish import publish_bytes
from stages.shards.order import Limits, fitting

Sample = TypeVar("Sample")
S = TypeVar("S", contravariant=True)
_TEMPORARY = re.compile(r"\.(\d{6,})\.")


@attrs.define(frozen=True)
class Packed:
    """A sample in a file, as the index has it."""

    key: str
    digest: str
    """By which it is told from a sample of that name that has other fields."""
    place: Mapping[str, Any]
    """Where it lies."""

    def line(self, file: str) -> bytes:
        """A line of the index."""
        row = {"key": self.key, "file": file, "digest": self.digest, **self.place}
        return json.dumps(row, separators=(",", ":")).encode() + b"\n"


class _Line(msgspec.Struct):
    """What is needed of a line of the index."""

    key: str
    digest: str


_LINE = msgspec.json.Decoder(_Line)


class Form(Protocol[S]):
    """What files are made of."""

    suffix: str
    overhead: int
    """Bytes of a file without samples."""

    def key(self, sample: S) -> str:
        """What it is called in a file."""

    def item(self, sample: S) -> tuple[Any, int]:
        """What is written of it, and the bytes that it takes."""

    def digests(self, samples: Sequence[S]) -> Iterable[str]:
        """Of each, as the index has it."""

    def write(self, path: str, items: Iterable[Any]) -> None:
        """A file of these items; the same ones give the same bytes."""

    def read(self, path: str) -> Iterable[Packed]:
        """What a file has."""


@attrs.define
class Numbered(Generic[Sample]):
    """The files of one folder."""

    folder: str
    form: Form[Sample]
    limits: Limits
    packed: dict[str, str] = attrs.field(factory=dict)
    """Key → digest of every sample that has a file."""
    counts: dict[int, int] = attrs.field(factory=dict)
    """Number of each file → its samples."""

    def open(self) -> None:
        """Read what is there and was not read yet; makes the folder."""
        make_folders(self.folder)
        for number in self._numbers():
            if number not in self.counts:
                self._take(number)

    def pack(self, samples: Sequence[Sample]) -> int:
        """Pack those that no file has, in their order, into new files. Returns how many files were added."""
        added, number, position = 0, max(self.counts, default=-1) + 1, 0
        while (first := next(self._waiting(samples, position), None)) is not None:
            last = self._publish(number, samples, first)
            self._take(number)
            position = first if last is None else last + 1  # another's file may have any of them
            number, added = number + 1, added + (last is not None)
        self._tidy(number)
        return added

    def sizes(self) -> list[tuple[str, int, int]]:
        """Each file: name, samples, bytes."""
        names = {number: self._name(number) for number in sorted(self.counts)}
        return [(name, self.counts[n], os.path.getsize(self._path(name))) for n, name in names.items()]

    def _waiting(self, samples: Sequence[Sample], position: int) -> Iterator[int]:
        """Indexes of the samples that no file has, from a position on."""
        return (index for index in range(position, len(samples)) if self.form.key(samples[index]) not in self.packed)

    def _publish(self, number: int, samples: Sequence[Sample], first: int) -> int | None:
        """Write a file and give it this number. Returns the index of its last sample; None: another has the number."""
        name, last = self._name(number), first

        def sized() -> Iterator[tuple[tuple[int, Any], int]]:
            for index in self._waiting(samples, first):
                item, size = self.form.item(samples[index])
                yield (index, item), size

        def items() -> Iterator[Any]:
            nonlocal last
            for last, item in fitting(sized(), self.limits, self.form.overhead):  # noqa: B007
                yield item

        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=self.folder)
        try:
            os.close(descriptor)
            self.form.write(temporary, items())
            _finish(temporary, self.folder)
            return last if _named(temporary, self._path(name)) else None
        except FileNotFoundError:
            if os.path.lexists(self._path(name)):  # whoever has the number removed it
                return None
            raise
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def _take(self, number: int) -> None:
        """Read the index of a file; makes it if it is missing."""
        path = self._path(self._name(number))
        index = f"{os.path.splitext(path)[0]}.index"
        rows = _read_index(index)
        if rows is None:
            found = list(self.form.read(path))
            publish_bytes(b"".join(one.line(os.path.basename(path)) for one in found), index)
            rows = [(one.key, one.digest) for one in found]
        self.packed.update(rows)
        self.counts[number] = len(rows)

    def _numbers(self) -> list[int]:
        pattern = re.compile(rf"(\d{{6,}}){re.escape(self.form.suffix)}")
        return sorted(int(match[1]) for name in os.listdir(self.folder) if (match := pattern.fullmatch(name)))

    def _tidy(self, number: int) -> None:
        """Remove temporary files of numbers that are taken: whoever writes them still finds that out."""
        for name in os.listdir(self.folder):
            match = _TEMPORARY.match(name)
            if match and int(match[1]) < number and os.path.isfile(self._path(name)):
                with suppress(FileNotFoundError):
                    os.unlink(self._path(name))

    def _name(self, number: int) -> str:
        return f"{number:06d}{self.form.suffix}"

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)


def _read_index(path: str) -> list[tuple[str, str]] | None:
    """Key and digest of each sample of a file; None if there is no index."""
    try:
        with open(path, "rb") as file:
            return [(row.key, row.digest) for row in map(_LINE.decode, file)]
    except FileNotFoundError:
        return None


def _finish(temporary: str, folder: str) -> None:
    """Its bytes are on the disk, and it may be read by whom its folder's are."""
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    if is_groups(folder):
        os.chmod(temporary, 0o660)


def _named(temporary: str, path: str) -> bool:
    """Whether the file got the name. Where the filesystem cannot tell, two that ask at one moment both may."""
    won = name_once(temporary, path)
    if won is None and not os.path.lexists(path):
        os.rename(temporary, path)
        return True
    return bool(won)
