"""A server of files on loopback that breaks as real ones do: cuts, refuses for a moment, knows no ranges."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class FileServer:
    """`with FileServer({"/model.bin": data}) as server: server.url`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.cuts: list[int] = []
        """Bytes after which the next answers are cut, one after the other."""
        self.refusals: list[int] = []
        """Status of the next answers."""
        self.ranges = True
        self.lengths = True
        """Whether it says how long a file is."""
        self.held: threading.Event | None = None
        """Waited for in the middle of an answer."""
        self.requests: list[tuple[str, str]] = []
        """(path with its query, Range header) of every request."""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Without a / at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.held:
            self.held.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    owner: FileServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        """A file, or what is to go wrong next."""
        owner, asked = self.server.owner, self.headers.get("Range", "")
        owner.requests.append((self.path, asked))
        data = owner.files.get(urlsplit(self.path).path)
        status = owner.refusals.pop(0) if owner.refusals else 200 if data is not None else 404
        start = int((re.match(r"bytes=(\d+)-", asked) or ["", "0"])[1]) if owner.ranges else 0
        if status == 200 and data is not None and start >= len(data) > 0:
            status = 416
        if status != 200 or data is None:
            self.send_response(status)
            self.end_headers()
            return
        self._send(owner, data, start)

    def _send(self, owner: FileServer, data: bytes, start: int) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if owner.lengths:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + owner.cuts.pop(0) if owner.cuts else len(data)
        with suppress(OSError):
            if owner.held:
                self.wfile.write(data[start : (start + end) // 2])
                self.wfile.flush()
                owner.held.wait(60)
                start = (start + end) // 2
            self.wfile.write(data[start:end])
