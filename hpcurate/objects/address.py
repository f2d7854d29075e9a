"""Addresses of objects, and how a changed object is noticed. Pure. Python 3.9."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from hpcurate.errors import ConfigError

__all__ = ["SCHEME", "Address", "Seen", "is_remote", "parse", "seen_of", "stamp_ns"]

SCHEME = "s3://"
_SECOND = 10**9


def is_remote(path: object) -> bool:
    """Whether it is the address of something in a bucket. Pure."""
    return isinstance(path, str) and path.startswith(SCHEME)


class Address(NamedTuple):
    """An object, or what the keys of several begin with."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


def parse(text: str) -> Address:
    """Of `s3://bucket/key`. Raises ConfigError for an address without a bucket."""
    bucket, _, key = text[len(SCHEME) :].partition("/")
    if not is_remote(text) or not bucket:
        raise ConfigError(f"{text}: expected {SCHEME}BUCKET/KEY")
    return Address(bucket, key)


class Seen(NamedTuple):
    """What an object looked like."""

    size: int
    """Bytes."""
    mtime_ns: int
    """See `stamp_ns`; 0: not known."""

    def same_as(self, other: Seen) -> bool:
        """As far as both are known."""
        return self.size == other.size and (self.mtime_ns == other.mtime_ns or 0 in (self.mtime_ns, other.mtime_ns))


def stamp_ns(modified: datetime.datetime, etag: str) -> int:
    """When an object was written, in nanoseconds: whole seconds, and as the rest 30 bits of its ETag.

    S3 gives no more than seconds where an object is read (RFC 9110, 5.6.7), and two objects may be written in one.
    """
    rest = hashlib.sha256(etag.strip('"').encode()).digest()[:8]
    return int(modified.timestamp()) * _SECOND + int.from_bytes(rest, "big") % _SECOND


def seen_of(answer: Mapping[str, Any], size: Optional[int] = None) -> Seen:
    """Of what S3 says about an object."""
    return Seen(
        int(answer["ContentLength"] if size is None else size), stamp_ns(answer["LastModified"], answer["ETag"])
    )
