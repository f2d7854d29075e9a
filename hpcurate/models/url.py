"""Weights behind an address: one file, resumed where a connection broke, taken only with the digest of its entry."""

from __future__ import annotations

import functools
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from hpcurate.errors import ConfigError, StoreError
from hpcurate.models.offer import Echo, Offer, Progress, check_digest, check_room
from hpcurate.models.origin import Url
from hpcurate.models.registry import ModelEntry
from hpcurate.store.manifest import BLOCK, FileEntry, sha256_of

PAUSES_S = (0.5, 2.0, 8.0, 30.0)
"""Waited after each failure in a row that brought nothing new; then it is over."""
TIMEOUT_S = 60.0
"""Seconds a server may be silent."""
RANGE_NOT_SATISFIABLE = 416
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be others in a moment."""


@attrs.define
class Broken(Exception):
    """A transfer that may succeed the next time."""

    why: str
    pause_s: float = 0.0
    """As the server asks for."""


def look_up(entry: ModelEntry, version: str | None) -> Offer:
    """See `fetch.LOOK_UP`. The entry says all; nothing is asked yet."""
    origin = entry.origin
    assert isinstance(origin, Url)
    return Offer(origin.version, 0, f"{origin.title} of {origin.text}", functools.partial(_bring, entry, origin))


def _bring(entry: ModelEntry, origin: Url, part: str, echo: Echo) -> list[FileEntry]:
    path = Path(part, origin.title)
    resumed = path.exists()
    _transfer(entry, origin, path, echo)
    digest = sha256_of(path)
    if resumed and digest != origin.version:
        echo(f"{entry.name}: what was here and what came do not fit together: once more from the beginning")
        path.unlink()
        _transfer(entry, origin, path, echo)
        digest = sha256_of(path)
    check_digest(entry, [path], digest)
    return [FileEntry(origin.title, path.stat().st_size, digest)]


def _transfer(entry: ModelEntry, origin: Url, path: Path, echo: Echo) -> None:
    """Until all is here, or several tries in a row brought nothing new. Raises ConfigError or StoreError."""
    best, failures = _size(path), 0
    while True:
        try:
            return _continue(entry, origin, path, echo)
        except Broken as error:
            size = _size(path)
            best, failures = max(best, size), 0 if size > best else failures + 1
            if failures > len(PAUSES_S):
                raise _given_up(entry, error) from None
            pause = max(PAUSES_S[max(0, failures - 1)], min(error.pause_s, PAUSES_S[-1]))
            echo(f"{entry.name}: {error.why}; {size / 1e6:.1f} MB are here, on in {pause:g} s")
            time.sleep(pause)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _given_up(entry: ModelEntry, error: Broken) -> StoreError:
    return StoreError(
        f"model {entry.name}: {entry.origin.text}: {error.why}, also after {len(PAUSES_S)} more tries; "
        "the same command continues where it stopped"
    )


def _continue(entry: ModelEntry, origin: Url, path: Path, echo: Echo) -> None:
    """Append what is missing; all of it, if the server knows no ranges. Raises Broken."""
    with _plain_errors(entry):
        here = _size(path)
        try:
            response = _open(origin.url, here)
        except urllib.error.HTTPError as error:
            if error.code != RANGE_NOT_SATISFIABLE or not here:
                raise
            return error.close()  # nothing is left to send; whether it is the right file, the digest says
        with response:
            start, total = _extent(response, here)
            if total is not None:
                check_room(entry, str(path.parent), total)
            size = _write(response, path, start, Progress(entry, total or 0, echo))
        if total is not None and size < total:
            raise Broken(f"the connection ended at {size} of {total} bytes")


def _write(response: Any, path: Path, start: int, progress: Progress) -> int:
    """Size of the file then."""
    progress(start)
    with open(path, "r+b" if start else "wb") as file:
        file.seek(start)
        while block := response.read1(BLOCK):  # as it comes: what has come survives us
            file.write(block)
            progress(len(block))
        file.truncate()
        return file.tell()


def _open(url: str, here: int) -> Any:
    headers = {"User-Agent": "hpcurate", **({"Range": f"bytes={here}-"} if here else {})}
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)


def _extent(response: Any, here: int) -> tuple[int, int | None]:
    """(where the answer begins in the file, size of the whole file)."""
    length = response.headers.get("Content-Length")
    asked = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range") or "")
    if getattr(response, "status", None) != 206 or asked is None:
        return 0, None if length is None else int(length)
    if int(asked[1]) != here:
        raise Broken(f"the server sent from byte {asked[1]} what was asked from {here}")
    return here, None if asked[2] == "*" else int(asked[2])


@contextmanager
def _plain_errors(entry: ModelEntry) -> Iterator[None]:
    """What may pass as Broken, all else in one line. The address is shown without its query."""
    what = f"model {entry.name}: {entry.origin.text}"
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in BUSY:
            raise ConfigError(f"{what}: the server answered {error.code} {error.reason}; correct `url:`") from None
        after = str(error.headers.get("Retry-After") or "")
        raise Broken(f"the server answered {error.code}", float(after) if after.isdecimal() else 0.0) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise StoreError(f"{what}: {error.reason}; name your site's certificates in SSL_CERT_FILE") from None
        if entry.url.startswith("file:"):
            raise ConfigError(f"{what}: there is no such file; correct `url:`") from None
        raise Broken(f"the server could not be reached ({error.reason})") from None
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise Broken(f"the connection broke ({type(error).__name__})") from None
