"""A real S3 server on loopback, in a process of its own, and a proxy before it that misbehaves."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pytest

from hpcurate.objects import client
from hpcurate.objects.address import Address
from hpcurate.objects.client import Objects
from hpcurate.objects.publishing import content

SERVER = """
import os, sys, threading, logging
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
"""
BUSY_BODY = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
BUSY = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    % len(BUSY_BODY)
) + BUSY_BODY
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret-words",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def running_server() -> Iterator[int]:
    """The port of a new server. It ends with us, whatever becomes of us: its standard input does."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


class Asked(NamedTuple):
    """A request that came to the proxy."""

    method: str
    target: str
    headers: dict[str, str]
    answered: bool
    """Whether the server was asked."""


class Proxy:
    """Passes each connection's one request on; every `busy`-th is answered 503, every `cut`-th answer is cut short.

    With `cut_up`, also every so many-th request with a body never reaches the server whole. What is cut after less than
    a client's buffer has (some 100 kB) may be lost to it altogether: the next try begins where that one did.
    """

    def __init__(self, port: int, *, busy: int = 0, cut: int = 0, cut_up: int = 0, cut_after: int = 40_000) -> None:
        self._port, self.busy, self.cut, self.cut_up, self.cut_after = port, busy, cut, cut_up, cut_after
        self.asked: list[Asked] = []
        """In the order that they came in."""
        self._gets = self._puts = 0
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def behave(self) -> None:
        """From now on nothing goes wrong; what was asked is forgotten."""
        self.busy = self.cut = self.cut_up = self._gets = self._puts = 0
        self.asked.clear()

    def gets(self, key: str) -> list[Asked]:
        """Requests for the content of an object that were passed on."""
        return [
            one for one in self.asked if one.method == "GET" and one.answered and one.target.split("?")[0].endswith(key)
        ]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(60)
            head, rest = _head(client)
            if not head:
                return
            method, target, headers = _parsed(head)
            with self._lock:
                busy = bool(self.busy) and (len(self.asked) + 1) % self.busy == 0
                self.asked.append(Asked(method, target, headers, not busy))
                down = method == "GET" and not busy and self._is_nth("_gets", self.cut)
                up = method in ("PUT", "POST") and not busy and self._is_nth("_puts", self.cut_up)
            if "100-continue" in headers.get("expect", ""):
                client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if busy:
                _drain(client, headers, rest)
                return client.sendall(BUSY)
            self._pass_on(client, head, rest, headers, down, up)

    def _is_nth(self, name: str, nth: int) -> bool:
        count = getattr(self, name) + 1
        setattr(self, name, count)
        return bool(nth) and count % nth == 0

    def _pass_on(
        self, client: socket.socket, head: bytes, rest: bytes, headers: dict[str, str], down: bool, up: bool
    ) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as server:
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
            server.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n")
            left = int(headers.get("content-length", 0))
            if up:
                left = left // 2
            while left > 0:
                data = rest or client.recv(min(left, 65536))
                rest = b""
                if not data:
                    return
                server.sendall(data[:left])
                left -= len(data)
            if up:
                return
            sent = 0
            while data := server.recv(16384):
                if down and sent + len(data) > self.cut_after:
                    client.sendall(data[: max(0, self.cut_after - sent)])
                    return
                client.sendall(data)
                sent += len(data)


def _head(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _parsed(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    return method, target, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _drain(client: socket.socket, headers: dict[str, str], rest: bytes) -> None:
    left = int(headers.get("content-length", 0)) - len(rest)
    while left > 0 and (data := client.recv(min(left, 65536))):
        left -= len(data)


class Bucket:
    """A bucket as a test sees it: past the proxy's whims."""

    def __init__(self, name: str, proxy: Proxy, through: Objects) -> None:
        self.name, self.proxy, self.through = name, proxy, through

    @classmethod
    def new(cls, name: str, proxy: Proxy, through: Objects, monkeypatch: pytest.MonkeyPatch) -> Bucket:
        """An empty one; for now this process asks so."""
        monkeypatch.setattr(client, "_OURS", through)
        through.call("a new bucket", "create_bucket", Bucket=name)
        return cls(name, proxy, through)

    def at(self, key: str) -> Address:
        """Address of an object."""
        return Address(self.name, key)

    def put(self, key: str, data: bytes) -> None:
        """Write an object as some other tool would."""
        self.through.call(f"writing {key}", "put_object", Bucket=self.name, Key=key, Body=data)

    def read(self, key: str) -> bytes:
        """What an object holds."""
        found = content(self.at(key), self.through)
        assert found is not None, f"no {key}"
        return found

    def keys(self, prefix: str = "") -> list[str]:
        """Of all objects."""
        return [one.key for one in self.through.listed(self.at(prefix))]

    def uploads(self) -> list[str]:
        """Keys of what was begun in parts and neither completed nor given up."""
        answer = self.through.call("uploads", "list_multipart_uploads", Bucket=self.name)
        return [one["Key"] for one in answer.get("Uploads", ())]
