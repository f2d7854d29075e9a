"""Requests to object storage through fsspec's s3fs, from any thread. Python 3.9."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Callable, NamedTuple, Optional

from hpcurate.errors import HpcurateError, SetupLost, StoreFailed
from hpcurate.inside import HasChanged
from hpcurate.objects.address import Address, Seen, seen_of
from hpcurate.objects.trouble import PAUSES_S, code_of, patiently

__all__ = ["BLOCK", "Listed", "Objects", "Unwanted", "objects"]

BLOCK = 1 << 20
"""Bytes that are read at a time."""
CONNECT_S, READ_S = 15, 60
ANOTHER = frozenset({"PreconditionFailed", "412", "InvalidRange", "416"})
"""What S3 answers to whoever goes on to read an object that was written again meanwhile."""
MISSING = (
    "{address}: s3fs is missing in this environment; type `pip install 'hpcurate[s3]'`, or name s3fs in the "
    "environment of the stage"
)


class Listed(NamedTuple):
    """An object as a listing has it."""

    key: str
    seen: Seen


class Unwanted(HpcurateError):
    """Nobody needs the object any more."""


class Objects:
    """Object storage as one process asks for it."""

    def __init__(self, pauses: Sequence[float] = PAUSES_S) -> None:
        self.pauses = pauses
        self._lock = threading.Lock()
        self._made: tuple[int, Any] = (0, None)
        """Process and its file system: a fork must not use its parent's connections."""

    def call(self, what: str, method: str, **given: Any) -> Any:
        """One request of S3's own, tried again where that helps. Raises what `patiently` does."""
        return patiently(what, lambda: self.once(what, method, **given), self.pauses)

    def once(self, what: str, method: str, **given: Any) -> Any:
        """One request, tried once."""
        return self._filesystem(what).call_s3(method, **given)

    def listed(self, at: Address, most: int = 1000) -> Iterator[Listed]:
        """All objects whose keys begin so, in the order of their keys: that of UTF-8. At most so many at a time."""
        more: dict[str, Any] = {"MaxKeys": most}
        while True:
            answer = self.call(f"listing {at}", "list_objects_v2", Bucket=at.bucket, Prefix=at.key, **more)
            for one in answer.get("Contents", ()):
                yield Listed(one["Key"], seen_of(one, one["Size"]))
            if not answer.get("IsTruncated"):
                return
            more["ContinuationToken"] = answer["NextContinuationToken"]

    def fetch(
        self, address: Address, path: str, known: Optional[Seen] = None, stop: Callable[[], bool] = lambda: False
    ) -> Seen:
        """Copy an object into a new file; one request where nothing fails, and what was read is not read again.

        Raises HasChanged where it is not what is `known` of it, or becomes another meanwhile; FileNotFoundError,
        PermissionError, StoreFailed, SetupLost; Unwanted where `stop` says so meanwhile.
        """
        try:
            file = open(path, "wb")  # noqa: SIM115 - closed below: only what fails here is the disk's
        except OSError as error:
            raise StoreFailed(f"copying {address} to {path}: {error.strerror}") from error
        with file:
            return self.copy(address, file, known, stop)

    def copy(
        self,
        address: Address,
        file: BinaryIO,
        known: Optional[Seen] = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Seen:
        """The same, into a file that is open and empty."""
        reading = _Reading(self, address, file, known, stop)
        patiently(f"reading {address}", reading.go_on, self.pauses, file.tell)
        return reading.seen

    def read(self, body: Any) -> bytes:
        """Some of an answer's body; empty at its end."""
        from fsspec.asyn import sync

        found: bytes = sync(self._made[1].loop, body.read, BLOCK)
        return found

    def _filesystem(self, what: str) -> Any:
        with self._lock:
            if self._made[0] != os.getpid():
                self._made = (os.getpid(), _connected(what))
            return self._made[1]


class _Reading:
    """An object on its way into a file."""

    def __init__(
        self, objects: Objects, address: Address, file: BinaryIO, known: Optional[Seen], stop: Callable[[], bool]
    ) -> None:
        self._objects, self._address, self._file, self._known, self._stop = objects, address, file, known, stop
        self._etag = ""
        self.seen = Seen(0, 0)

    def go_on(self) -> None:
        """Read from where the file ends."""
        at, where = self._file.tell(), {"Bucket": self._address.bucket, "Key": self._address.key}
        if self._etag and at == self.seen.size:
            return
        more = {"Range": f"bytes={at}-", "IfMatch": self._etag} if self._etag else {}
        try:
            answer = self._objects.once(str(self._address), "get_object", **where, **more)
        except OSError as error:
            if code_of(error) in ANOTHER:
                raise self._changed() from error
            raise
        if not self._etag:
            self._begin(answer)
        self._copy(answer["Body"])

    def _begin(self, answer: Any) -> None:
        self.seen = seen_of(answer)
        if self._known is not None and not self.seen.same_as(self._known):
            raise self._changed()
        self._etag = answer["ETag"]

    def _copy(self, body: Any) -> None:
        try:
            while data := self._objects.read(body):
                self._write(data)
        finally:
            with suppress(Exception):
                body.close()
        if self._file.tell() < self.seen.size:
            raise ConnectionError(f"the answer ended after {self._file.tell()} of {self.seen.size} bytes")

    def _write(self, data: bytes) -> None:
        if self._stop():
            raise Unwanted(str(self._address))
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise StoreFailed(
                f"copying {self._address} to {getattr(self._file, 'name', 'memory')}: {error.strerror}"
            ) from error

    def _changed(self) -> HasChanged:
        return HasChanged(f"{self._address}: was written again since it was listed; type the command with changed=redo")


def _connected(what: str) -> Any:
    """A file system of this process. Endpoint, region and credentials are found as botocore finds them; nothing is
    tried again there: see `patiently`.
    """
    try:
        import fsspec

        config = {"connect_timeout": CONNECT_S, "read_timeout": READ_S, "retries": {"total_max_attempts": 1}}
        found = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False, config_kwargs=config)
    except ImportError:
        raise SetupLost(MISSING.format(address=what)) from None
    found.retries = 1
    return found


_OURS = Objects()


def objects() -> Objects:
    """This process's own."""
    return _OURS
