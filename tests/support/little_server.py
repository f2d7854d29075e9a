"""A server of a node in small: `python little_server.py PORT NOTES [HOW]`. HOW is what is wrong with it.

It notes each load in NOTES/loads, a line with its pid, and each question in NOTES/asks before it answers. `/twice/N`
is answered to who has its key. A child of its own holds what a real one would hold on a GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOAD_S = 0.1


class Answers(BaseHTTPRequestHandler):
    """Well, and knows how to double."""

    notes: Path
    ready = True

    def do_GET(self) -> None:
        """Answer after a moment."""
        if self.path == "/health":
            return self.send(200 if self.ready else 503, b"")
        if self.headers["Authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            return self.send(401, b"")
        number = int(self.path.rpartition("/")[2])
        note(self.notes / "asks", str(number))
        time.sleep(0.02)
        return self.send(200, str(2 * number).encode())

    def send(self, status: int, body: bytes) -> None:
        """The whole answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def note(path: Path, line: str) -> None:
    """One line, whoever else writes."""
    with open(path, "a") as file:
        file.write(f"{line}\n")


def main() -> None:
    """Load, then answer."""
    port, notes, how = int(sys.argv[1]), Path(sys.argv[2]), "".join(sys.argv[3:])
    note(notes / "loads", str(os.getpid()))
    held = subprocess.Popen(["sleep", "600"])
    note(notes / "held", str(held.pid))
    if how == "dies":
        sys.exit(f"no memory for {os.environ['HPCURATE_SERVER_KEY']}\nthe weights do not fit")
    time.sleep(LOAD_S)
    Answers.notes, Answers.ready = notes, how != "never"
    ThreadingHTTPServer(("127.0.0.1", port), Answers).serve_forever()


if __name__ == "__main__":
    main()
