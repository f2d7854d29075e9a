"""Which exceptions are worth another try: by class, base class, number and status, without their libraries."""

from __future__ import annotations

import copy
import errno
import http.client
import socket
import subprocess
import urllib.error
from typing import Any

import pytest

from hpcurate.errors import SetupLost, TryAgain
from hpcurate.stage_process.raised import MEMORY, Raised, names_of, setup_lost
from hpcurate.transient import TRANSIENT, worth


def named(name: str, *bases: type, **fields: Any) -> Exception:
    """An error of a class of another library, such as `requests.exceptions.ConnectionError`."""
    module, _, cls = name.rpartition(".")
    error: Exception = type(cls, bases or (Exception,), {"__module__": module})("went wrong")
    vars(error).update(fields)
    return error


def answered(name: str, status: int) -> Exception:
    """As of requests and httpx."""
    return named(name, response=named("requests.models.Response", status_code=status))


def caused(cause: Exception) -> Exception:
    """As a stage may pass it on."""
    error = ValueError("no frames")
    error.__cause__ = cause
    return error


def answer(status: int) -> urllib.error.HTTPError:
    """urllib's own."""
    return urllib.error.HTTPError("http://there", status, "reason", http.client.HTTPMessage(), None)


WORTH = [
    ConnectionResetError(), ConnectionRefusedError(), TimeoutError(), named("asyncio.exceptions.TimeoutError"),
    named("socket.timeout", OSError), socket.gaierror(socket.EAI_AGAIN, "again"),
    http.client.RemoteDisconnected(), http.client.IncompleteRead(b""), urllib.error.URLError(ConnectionRefusedError()),
    answer(429), answer(503), OSError(errno.EIO, "input"), OSError(errno.ESTALE, "stale"), BlockingIOError(errno.EAGAIN, ""),
    OSError(errno.EHOSTUNREACH, ""), OSError(errno.ESHUTDOWN, "evicted"), caused(ConnectionResetError()),
    named("requests.exceptions.ConnectionError", OSError), named("requests.exceptions.Timeout", OSError),
    named("urllib3.exceptions.ProtocolError"), named("httpx.NetworkError"), named("aiohttp.client_exceptions.ClientConnectionError"),
    answered("requests.exceptions.HTTPError", 500), answered("httpx.HTTPStatusError", 429),
    named("aiohttp.client_exceptions.ClientResponseError", status=502),
    named("openai.APIStatusError", status_code=529, response=None), named("openai.APIConnectionError"),
    named("httpx2._exceptions.NetworkError"), named("httpx2._exceptions.TimeoutException"),
    named("httpx2._exceptions.RemoteProtocolError"), answered("httpx2._exceptions.HTTPStatusError", 503), TryAgain("busy"),
    named("botocore.exceptions.ClientError", response={"ResponseMetadata": {"HTTPStatusCode": 503}}),
]  # fmt: skip
NOT_WORTH = [
    ValueError("broken"), FileNotFoundError(errno.ENOENT, ""), PermissionError(errno.EACCES, ""), OSError("short write"),
    OSError(errno.ENOSPC, "full"), BrokenPipeError(errno.EPIPE, "ffmpeg is gone"), subprocess.TimeoutExpired("ffmpeg", 1),
    socket.gaierror(socket.EAI_NONAME, "no such host"), urllib.error.URLError("unknown url type"), answer(404), answer(501),
    answered("requests.exceptions.HTTPError", 403), named("requests.exceptions.InvalidURL", OSError, ValueError),
    named("av.error.OSError", OSError, errno=errno.EIO), named("botocore.exceptions.ClientError", response={}),
    SetupLost("gone"), answered("httpx2._exceptions.HTTPStatusError", 404), SystemExit(503), MemoryError(), caused(MemoryError()), OSError(errno.ENOMEM, "fork"),
]  # fmt: skip


@pytest.mark.parametrize("error", WORTH, ids=lambda error: type(error).__name__)
def test_what_may_be_gone_a_moment_later(error: Exception) -> None:
    """By default, also where it was raised in another process; with [] never."""
    assert worth(names_of(error), None)
    assert worth(names_of(copy.copy(Raised.of(error))), None)
    assert not worth(names_of(error), ())


@pytest.mark.parametrize("error", NOT_WORTH, ids=lambda error: type(error).__name__)
def test_what_is_the_same_a_moment_later(error: Exception) -> None:
    """A broken input, a wrong question."""
    assert not worth(names_of(error), None)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ("Busy", True), ("model.server.Busy", True), ("model.Busy", True), ("Exception", True), ("RuntimeError", True),
        ("builtins.RuntimeError", True), ("ConnectionResetError", True), (TRANSIENT, True),
        ("mod.Busy", False), ("Bus", False), ("server.Busy", False), ("ValueError", False), ("model", False), ("", False),
    ],
)  # fmt: skip
def test_a_name_of_a_users(wanted: str, fits: bool) -> None:
    """Of the class, a base, or what is behind it; with its module, its package, or neither."""
    error = named("model.server.Busy", RuntimeError)
    error.__cause__ = ConnectionResetError()
    assert fits is worth(names_of(error), (wanted,))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(), caused(MemoryError()), OSError(errno.ENOMEM, "fork"), named("numpy.core._ArrayMemoryError", MemoryError),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    ],
)  # fmt: skip
def test_want_of_memory_is_known_by_its_error(error: Exception) -> None:
    """Also where it was raised in another process."""
    assert MEMORY in names_of(error)
    assert MEMORY in names_of(copy.copy(Raised.of(error)))


@pytest.mark.parametrize("error", [SetupLost("gone"), caused(SetupLost("gone"))])
def test_a_lost_setup_is_known_by_its_error(error: Exception) -> None:
    """Also where it was raised in another process."""
    assert ["gone"] == [str(setup_lost(error))]
    assert setup_lost(copy.copy(Raised.of(error))) is not None
    assert setup_lost(ValueError("no")) is None
