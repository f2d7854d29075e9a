"""Objects that are written: whole or not at all, and not again where they are what they should be. Python 3.9."""

from __future__ import annotations

import datetime
import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, Optional

from hpcurate.objects.address import Address
from hpcurate.objects.client import BLOCK, Objects, objects
from hpcurate.objects.trouble import code_of, patiently

__all__ = ["PART", "abandoned", "content", "put_bytes", "put_file"]

PART = 64 << 20
"""Bytes of a part; an object of no more than one is put by one request. S3 takes 10 000 parts of 5 MB to 5 GB."""
MOST_PARTS = 10_000
DIGEST = "sha256"
"""Name of the metadata that has the digest of the content."""
ABANDONED_S = 3600
"""An upload of the same object that began so long ago is of a process that was killed."""


class Vanished(ConnectionError):
    """The upload is gone: somebody else's, or a lost answer to its completion. Another try shows which."""


def put_bytes(data: bytes, address: Address, through: Optional[Objects] = None) -> bool:
    """Make the object hold `data`. False if it did already. Raises what `patiently` does."""
    return _put(io.BytesIO(data), len(data), address, through or objects())


def put_file(source: str, address: Address, through: Optional[Objects] = None) -> bool:
    """Make the object hold what a file does. False if it did already. Raises OSError, and what `patiently` does."""
    with open(source, "rb") as file:
        return _put(file, os.fstat(file.fileno()).st_size, address, through or objects())


def content(address: Address, through: Optional[Objects] = None) -> Optional[bytes]:
    """What an object holds; None if there is none. Raises what `Objects.fetch` does."""
    found = io.BytesIO()
    try:
        (through or objects()).copy(address, found)
    except FileNotFoundError:
        return None
    return found.getvalue()


def _put(file: BinaryIO, size: int, address: Address, through: Objects) -> bool:
    digest = _digest(file)
    put = _Put(through, address, size, digest)
    if put.is_there():
        return False
    patiently(f"writing {address}", lambda: put.small(file) if size <= PART else put.large(file), through.pauses)
    return True


def _digest(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while data := file.read(BLOCK):
        found.update(data)
    return found.hexdigest()


class _Put:
    """One object that is written."""

    def __init__(self, through: Objects, address: Address, size: int, digest: str) -> None:
        self._through, self._address, self._size, self._digest = through, address, size, digest
        self._at = {"Bucket": address.bucket, "Key": address.key}

    def is_there(self) -> bool:
        """Whether the object has this content, as its metadata say. Who may not look writes it once more."""
        try:
            answer = self._through.call(f"a look at {self._address}", "head_object", **self._at)
        except (FileNotFoundError, PermissionError):
            return False
        return bool(answer["ContentLength"] == self._size and answer.get("Metadata", {}).get(DIGEST) == self._digest)

    def small(self, file: BinaryIO) -> None:
        """One request."""
        file.seek(0)
        self._once("put_object", Body=file.read(), Metadata={DIGEST: self._digest})

    def large(self, file: BinaryIO) -> None:
        """In parts, which nobody sees before the last request."""
        self._clear()
        upload = self._once("create_multipart_upload", Metadata={DIGEST: self._digest})["UploadId"]
        try:
            parts = [self._part(file, upload, number, at) for number, at in enumerate(self._places(), start=1)]
            self._complete(upload, parts)
        except BaseException:
            with suppress(Exception):
                given = {**self._at, "UploadId": upload}
                self._through.call(f"giving up {self._address}", "abort_multipart_upload", **given)
            raise

    def _places(self) -> Iterable[int]:
        return range(0, self._size, self._part_size)

    @property
    def _part_size(self) -> int:
        return max(PART, -(-self._size // MOST_PARTS))

    def _part(self, file: BinaryIO, upload: str, number: int, at: int) -> dict[str, Any]:
        file.seek(at)
        data = file.read(self._part_size)
        given = {**self._at, "UploadId": upload, "PartNumber": number, "Body": data}
        what = f"writing part {number} of {self._address}"
        return {"PartNumber": number, "ETag": self._through.call(what, "upload_part", **given)["ETag"]}

    def _complete(self, upload: str, parts: list[dict[str, Any]]) -> None:
        """Raises Vanished, unless an answer was lost and the object is there."""
        given = {**self._at, "UploadId": upload, "MultipartUpload": {"Parts": parts}}
        try:
            self._through.call(f"writing {self._address}", "complete_multipart_upload", **given)
        except OSError as error:
            if code_of(error) != "NoSuchUpload":
                raise
            if not self.is_there():
                raise Vanished(f"{self._address}: its upload was ended by somebody else") from error

    def _clear(self) -> None:
        """Remove parts that nobody will complete. Who may not list uploads leaves that to the bucket's life cycle."""
        with suppress(OSError):
            answer = self._once("list_multipart_uploads", Prefix=self._address.key)
            for upload in abandoned(answer, self._address.key, datetime.datetime.now(datetime.timezone.utc)):
                self._once("abort_multipart_upload", UploadId=upload)

    def _once(self, method: str, **given: Any) -> Any:
        at = {"Bucket": self._address.bucket} if method.startswith("list") else self._at
        return self._through.once(str(self._address), method, **at, **given)


def abandoned(answer: Mapping[str, Any], key: str, now: datetime.datetime) -> list[str]:
    """Ids of the uploads of an object that a killed process has left. Pure."""
    begun = datetime.timedelta(seconds=ABANDONED_S)
    return [
        one["UploadId"] for one in answer.get("Uploads", ()) if one["Key"] == key and now - one["Initiated"] > begun
    ]
