"""A server on loopback that speaks OpenAI's protocol, and breaks as real ones do.

`with LocalEndpoint() as server: server.url`. What it answers is a function of the question; it keeps all that it was asked.
Started as a program (`python endpoint.py --port 8000`) it answers until it is ended.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs


@attrs.define(frozen=True)
class Asked:
    """One question: what came to /v1/chat/completions."""

    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """What the user says, without pictures."""
        return "\n".join(part["text"] for part in self._parts("user") if part["type"] == "text")

    @property
    def system(self) -> str:
        """What the system says."""
        return "\n".join(part["text"] for part in self._parts("system"))

    @property
    def pictures(self) -> list[bytes]:
        """The files, in order."""
        urls = [part["image_url"]["url"] for part in self._parts("user") if part["type"] == "image_url"]
        assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
        return [base64.b64decode(url.partition(",")[2], validate=True) for url in urls]

    @property
    def digest(self) -> str:
        """The same for the same question."""
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()

    def _parts(self, role: str) -> list[dict[str, Any]]:
        contents = [message["content"] for message in self.body["messages"] if message["role"] == role]
        parts = [[{"type": "text", "text": one}] if isinstance(one, str) else one for one in contents]
        return [part for some in parts for part in some]


@attrs.define(frozen=True, kw_only=True)
class Reply:
    """What is sent back: by default a whole and honest answer."""

    text: str | None = "Yes."
    finish: str | None = "stop"
    status: int = 200
    headers: Mapping[str, str] = {}
    usage: bool = True
    wait_s: float = 0.0
    """Before anything is sent."""
    raw: bytes | None = None
    """Sent as it is, instead of an answer."""
    held: threading.Event | None = None
    """Waited for before anything is sent."""
    drop_s: float = 0.0
    """Seconds before each byte of the body."""
    cut: bool = False
    """The connection ends in the middle of the body."""

    def encoded(self) -> bytes:
        """The body."""
        if self.raw is not None:
            return self.raw
        if self.status != 200:
            return json.dumps({"error": {"message": f"this is status {self.status}"}}).encode()
        choice = {"index": 0, "message": {"role": "assistant", "content": self.text}, "finish_reason": self.finish}
        usage = {"prompt_tokens": 7, "completion_tokens": len((self.text or "").split())}
        return json.dumps({"choices": [choice], **({"usage": usage} if self.usage else {})}).encode()


BUSY = Reply(status=429, headers={"Retry-After": "0"})
BROKEN = Reply(status=500)
CUT = Reply(cut=True)
HALF_JSON = Reply(raw=b'{"choices": [{"message": {"content": "half')
HTML = Reply(raw=b"<html><body>The proxy at your service</body></html>", headers={"Content-Type": "text/html"})
NOTHING = Reply(raw=b"")
EMPTY = Reply(text="")
TRUNCATED = Reply(text="one two", finish="length")


class LocalEndpoint:
    """The server. `answer` makes a `Reply`, or its text, of each question."""

    def __init__(
        self,
        answer: Callable[[Asked], Reply | str] = lambda asked: Reply(),
        *,
        key: str = "",
        models: tuple[str, ...] = ("tiny",),
        port: int = 0,
    ) -> None:
        """`key`: what it lets in; empty: anybody."""
        self.answer, self.key, self.models = answer, key, models
        self.asked: list[Asked] = []
        """Every question, also those that were refused."""
        self.listed = 0
        """How often it was asked for its models."""
        self.most_at_once = 0
        self._at_once, self._lock = 0, threading.Lock()
        self._port = port
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """As a client is given it. Stays the same when it is stopped and started again."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        """Listen: at the first time on any port, from then on at that one."""
        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._server.owner, self._port = self, self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and hang up on those that there are."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()

    def __enter__(self) -> LocalEndpoint:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reply(self, asked: Asked) -> Reply:
        """What a question gets; counts how many there are at once."""
        with self._lock:
            self.asked.append(asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            made = self._refusal(asked) or self.answer(asked)
            made = Reply(text=made) if isinstance(made, str) else made
            time.sleep(made.wait_s)
            if made.held:
                made.held.wait(60)
            return made
        finally:
            with self._lock:
                self._at_once -= 1

    def _refusal(self, asked: Asked) -> Reply | None:
        if not self.lets_in(asked.headers):
            return Reply(status=401)
        return None if asked.body.get("model") in self.models else Reply(status=404)

    def lets_in(self, headers: Mapping[str, str]) -> bool:
        """Whether the key is right."""
        return not self.key or headers.get("Authorization") == f"Bearer {self.key}"


class _Server(ThreadingHTTPServer):
    owner: LocalEndpoint
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """On those that wait for the next question."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """Who hangs up meanwhile is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"  # connections stay

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        """The models."""
        owner = self.server.owner
        owner.listed += 1
        if self.path != "/v1/models":
            self._send(Reply(status=404))
        elif not owner.lets_in(self.headers):  # type: ignore[arg-type]  # it is a mapping
            self._send(Reply(status=401))
        else:
            self._send(Reply(raw=json.dumps({"data": [{"id": name} for name in owner.models]}).encode()))

    def do_POST(self) -> None:
        """A question."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/chat/completions":
            self._send(Reply(status=404))
        else:
            self._send(self.server.owner.reply(Asked(json.loads(body), dict(self.headers))))

    def _send(self, reply: Reply) -> None:
        body = reply.encoded()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):  # who asked may have gone
            for byte in body if reply.drop_s else b"":
                time.sleep(reply.drop_s)
                self.wfile.write(bytes([byte]))
            self.wfile.write(b"" if reply.drop_s else body[: len(body) // 2] if reply.cut else body)
        self.close_connection = self.close_connection or reply.cut


def main() -> None:
    """Answer until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", default="tiny")
    given = parser.parse_args()
    LocalEndpoint(lambda asked: f"You said {asked.text!r}.", models=(given.model,), port=given.port).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
