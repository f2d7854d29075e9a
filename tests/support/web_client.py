"""A server of ours in a thread, and a client that may be as rude as it likes."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import attrs

from hpcurate.web.door import App
from hpcurate.web.server import Address, Server

TIMEOUT_S = 60.0


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Of the body."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """Of the body."""
        return json.loads(self.body)


@attrs.frozen
class Client:
    """Sends to one server, with its token unless headers say otherwise."""

    address: Address

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request over a connection of its own; `Content_Type=` is `Content-Type`, an empty value leaves it out."""
        with closing(self.connection()) as connection:
            connection.request(method, path, body, self.headers(**headers))
            return answer_of(connection.getresponse())

    def headers(self, **more: str) -> dict[str, str]:
        """Those of a request, with the token."""
        given = {"Authorization": f"Bearer {self.address.token}", **{k.replace("_", "-"): v for k, v in more.items()}}
        return {name: value for name, value in given.items() if value}

    def connection(self) -> http.client.HTTPConnection:
        """To the server."""
        return http.client.HTTPConnection(self.address.host, self.address.port, timeout=TIMEOUT_S)

    def socket(self, *lines: str, body: bytes = b"") -> socket.socket:
        """One on which these lines, with a Host and the token, and the first bytes of a body were sent."""
        made = socket.create_connection((self.address.host, self.address.port), timeout=TIMEOUT_S)
        head = [*lines, f"Host: 127.0.0.1:{self.address.port}", f"Authorization: Bearer {self.address.token}", "", ""]
        made.sendall("\r\n".join(head).encode() + body)
        return made

    def raw(self, data: bytes) -> bytes:
        """Exactly these bytes, and all that comes back until the server closes, or has nothing to say for a second."""
        with socket.create_connection((self.address.host, self.address.port), timeout=TIMEOUT_S) as made:
            made.sendall(data)
            made.shutdown(socket.SHUT_WR)
            return read_all(made)


def answer_of(response: http.client.HTTPResponse) -> Answer:
    """All of it."""
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def read_all(made: socket.socket) -> bytes:
    """Until the other end closes."""
    return b"".join(iter(lambda: made.recv(65536), b""))


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    """One part of a form with the boundary `edge`."""
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'--edge\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data + b"\r\n"


FORM = "multipart/form-data; boundary=edge"
END = b"--edge--\r\n"


@contextmanager
def serving(app: App, ending: Callable[[], object] = lambda: None, **options: Any) -> Iterator[Client]:
    """Serve an app in a thread, and end it."""
    server, until = Server(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        over = pool.submit(server.run, app, until=until, ending=ending, **{"grace_s": 5, **options})
        try:
            yield Client(server.address)
        finally:
            until.set()
            over.result(TIMEOUT_S)
