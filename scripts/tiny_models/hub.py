"""A small server that speaks as much of the model hub's protocol as a download needs, on loopback.

Repositories have commits and branches; large files have SHA-256, small ones Git's blob id. Faults can be asked
for: a gated repository, a connection cut after some bytes, too many requests, other bytes than announced.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = 4096
"""Files of at least so many bytes are described like those in large-file storage."""


@dataclass
class Repository:
    """One model: commits, and what the branches point to."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    """Needed to read it."""

    def push(self, files: dict[str, bytes], branch: str = "main") -> str:
        """A new commit on a branch; its digest."""
        text = "".join(f"{name} {hashlib.sha256(data).hexdigest()}\n" for name, data in sorted(files.items()))
        commit = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit


class Hub:
    """A running server; `with Hub() as hub: hub.url`."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.cut_after: dict[str, int] = {}
        """File name → bytes after which its next transfer is cut, once."""
        self.corrupt: set[str] = set()
        """File names that are sent with other bytes than announced."""
        self.refusals = 0
        """So many requests are answered with 429."""
        self.requests: list[tuple[str, str, str]] = []
        """(method, path, Range header) of every request."""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        """Environment that sends the hub's library here and keeps it off the user's own settings."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def add_folder(self, name: str, folder: Path) -> str:
        """Serve a folder's files as a repository; its commit."""
        files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        return self.repositories.setdefault(name, Repository()).push(files)

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Knows its hub."""

    hub: Hub


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        """Headers of a file."""
        self._answer()

    def do_GET(self) -> None:
        """A file, or the description of a repository."""
        self._answer()

    def _answer(self) -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if hub.refusals > 0:
            hub.refusals -= 1
            self._refuse(429, "", "slow down")
            return
        asked = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+?)()", path)
        asked = asked or re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        name, revision, file = asked.groups() if asked else ("", "", "")
        files = self._files(name, revision)
        if files is not None and file:
            self._send_file(files[0], files[1], file)
        elif files is not None:
            self._send_info(name, *files)

    def _files(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """(commit, files), or None after the request was refused."""
        repository = self.server.hub.repositories.get(name)
        if repository is None:
            self._refuse(404, "RepoNotFound", "Repository not found")
            return None
        if repository.token and self.headers.get("Authorization") != f"Bearer {repository.token}":
            self._refuse(403 if "Authorization" in self.headers else 401, "GatedRepo", "Access is restricted")
            return None
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            self._refuse(404, "RevisionNotFound", "Invalid rev id")
            return None
        return commit, repository.commits[commit]

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, json.dumps({"error": message}).encode(), {"X-Error-Code": code, "X-Error-Message": message})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            if value:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_info(self, name: str, commit: str, files: dict[str, bytes]) -> None:
        siblings = [_sibling(path, data) for path, data in sorted(files.items())]
        plain = {"id": name, "modelId": name, "sha": commit, "private": False, "tags": [], "siblings": siblings}
        self._send(200, json.dumps(plain).encode(), {"Content-Type": "application/json"})

    def _send_file(self, commit: str, files: dict[str, bytes], path: str) -> None:
        if path not in files:
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        hub, announced = self.server.hub, files[path]
        data = bytes(255 - b for b in announced) if path in hub.corrupt else announced
        start = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or ["", "0"])[1])
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_etag(announced)}"', "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = hub.cut_after.pop(path, None) if self.command == "GET" else None
        if cut is None:
            self._send(206 if start else 200, data[start:], headers)
        else:
            self._send_and_cut(206 if start else 200, data[start:], headers, cut)

    def _send_and_cut(self, status: int, data: bytes, headers: dict[str, str], cut: int) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data[:cut])
        self.wfile.flush()
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _sibling(path: str, data: bytes) -> dict[str, object]:
    plain: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": _blob(data)}
    if len(data) >= LARGE:
        plain["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return plain


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if len(data) >= LARGE else _blob(data)


def _blob(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
