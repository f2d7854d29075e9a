"""Which exceptions are worth another try: those of a network or a filesystem that works again a moment later. Pure.

By name and number alone: whoever raises them has imported the library, we have not. Python 3.9.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Optional

TRANSIENT = "transient"
"""Stands for all of these among the names of `retry_on`."""
NAMES = (
    "hpcurate.errors.TryAgain",
    "ConnectionError",  # Python's own, requests', botocore's
    "TimeoutError",  # of sockets, asyncio, futures, urllib3
    "socket.timeout",
    "http.client.BadStatusLine",
    "http.client.IncompleteRead",
    "ftplib.error_temp",
    "requests.Timeout",
    "requests.ChunkedEncodingError",
    "urllib3.ProtocolError",
    "urllib3.MaxRetryError",
    "httpx.NetworkError",
    "httpx.TimeoutException",
    "httpx.RemoteProtocolError",
    "httpx2.NetworkError",
    "httpx2.TimeoutException",
    "httpx2.RemoteProtocolError",
    "openai.APIConnectionError",
    "aiohttp.ClientConnectionError",
    "aiohttp.ClientPayloadError",
    "botocore.HTTPClientError",
)
STATUS_ERRORS = (
    "HTTPError", "HTTPStatusError", "ClientResponseError", "APIStatusError", "GoogleAPICallError",
    "botocore.ClientError",
)  # fmt: skip
"""What has the status of an HTTP answer: urllib's and requests', httpx', aiohttp's, and those of clients of models and
buckets."""
STATUSES = frozenset([408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529])
"""Answers of a server that is busy or down; others say what is wrong with the question."""
ERRNOS = frozenset(
    getattr(errno, name)
    for name in (
        "EAGAIN", "EINTR", "ETIMEDOUT", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "EHOSTUNREACH", "EHOSTDOWN",
        "ENETUNREACH", "ENETDOWN", "ENETRESET", "ENOBUFS", "ENOTCONN", "ESHUTDOWN", "ESTALE", "EIO",
        "EREMOTEIO", "ENOLCK",
    )
    if hasattr(errno, name)
)  # fmt: skip
"""Of Python's own OSError. A file server that is gone for a moment answers ESTALE or EIO (NFS), ESHUTDOWN or ENOTCONN
(Lustre, FUSE). FFmpeg's errors have numbers, too, and EIO there is a broken file: they are other classes."""


def links(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    link: Optional[BaseException] = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def transient(error: BaseException) -> bool:
    """Whether the error, or one behind it, is of a network or a filesystem, and may be gone a moment later."""
    return any(_is_transient(link) for link in links(error))


def _is_transient(error: BaseException) -> bool:
    names = class_names(error)
    if isinstance(error, BrokenPipeError):  # else a program that ended for its input's sake
        return error.errno == errno.ESHUTDOWN
    status = _status(error) if any(named(name, names) for name in STATUS_ERRORS) else None
    if status is not None:
        return status in STATUSES
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    if "urllib.error.URLError" in names:  # in words: a wrong address
        reason = getattr(error, "reason", None)
        return isinstance(reason, BaseException) and _is_transient(reason)
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.errno in ERRNOS:
        return True
    return any(named(name, names) for name in NAMES)


def class_names(error: BaseException) -> frozenset[str]:
    """`module.Class` of its class and of those above."""
    return frozenset(f"{cls.__module__}.{cls.__name__}" for cls in type(error).__mro__)


def named(wanted: str, names: Iterable[str]) -> bool:
    """Whether a name, with or without its module or only its package, is among `module.Class`. Pure."""
    package, _, name = wanted.rpartition(".")
    return any(_fits(package, name, *full.rpartition(".")[::2]) for full in names)


def _fits(package: str, name: str, module: str, cls: str) -> bool:
    return name == cls and (not package or module == package or module.startswith(f"{package}."))


def worth(names: Collection[str], retry_on: Optional[Iterable[str]]) -> bool:
    """Whether an error with these names is to be tried again; None: what is transient. Pure."""
    return any(wanted in names or named(wanted, names) for wanted in ((TRANSIENT,) if retry_on is None else retry_on))


def _status(error: Any) -> Optional[int]:
    """Of the HTTP answer, wherever the library has it."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore
        found: Any = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else None
    places = ((error, "status_code"), (answer, "status_code"), (error, "status"), (error, "code"))
    return next((int(at) for at in (getattr(*place, None) for place in places) if isinstance(at, int)), None)
