"""One start of a server: its processes, the port that they listen on, and the end of what they print. Python 3.9.

Another program may take the port between its choice and its use, or wait there for a server that ended. So an answer
counts only where the socket that listens is one of the server's own processes (proc(5), /proc/net/tcp).
"""

from __future__ import annotations

import collections
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Optional

from hpcurate.masks import keep, mask
from hpcurate.node.server import KEY
from hpcurate.system.processes import descendants
from hpcurate.system.programs import LINES, output_tail

HEALTH_S = 2.0
"""How long the server may take to answer that it is well."""
TERM_S = 5.0
"""How long it may take to leave."""
KILL_S = 5.0
"""How long it is killed."""
PORTS = range(15000, 32768)
"""Below those that outgoing connections take at any time (net.ipv4.ip_local_port_range)."""
KEYS = (KEY, "VLLM_API_KEY", "LLAMA_API_KEY")
"""Variables that have the key for the server: words of a command are shown to all users of a node."""
_LISTENS = "0A"


class ServerProgram:
    """A server that was started, with all processes below it. Raises OSError where it does not start."""

    def __init__(self, words: list[str], port: int, key: str) -> None:
        self.port, self.key, self.url = port, key, f"http://127.0.0.1:{port}"
        own = os.path.dirname(sys.executable)
        path = os.pathsep.join([own, os.environ.get("PATH", os.defpath)])
        keep(KEY, key)
        print(mask(f"server: started on port {port}: {' '.join(words)}"), flush=True)
        self._process = subprocess.Popen(
            [shutil.which(words[0], path=path) or words[0], *words[1:]],
            env={**os.environ, "PATH": path, **dict.fromkeys(KEYS, key)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._lines: collections.deque[str] = collections.deque(maxlen=LINES)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """What it prints goes on to the worker's log."""
        assert self._process.stdout is not None
        with suppress(OSError, ValueError):  # it is closed
            for line in self._process.stdout:
                text = mask(line.decode(errors="replace").rstrip())
                self._lines.append(text)
                print(f"server: {text}", flush=True)

    def tail(self) -> str:
        """The end of what it printed."""
        if self._process.poll() is not None:
            self._reader.join(0.5)
        return output_tail("\n".join(self._lines)) or "nothing"

    def gone(self) -> str:
        """How it ended; empty while it lives."""
        code = self._process.poll()
        if code is None:
            return ""
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with status {code}"

    def owner(self) -> Optional[bool]:
        """Whether it is this server that listens on the port; None while nobody does."""
        listening = listeners(self.port, _tables())
        return None if not listening else bool(listening & sockets_of(descendants(os.getpid())))

    def end(self, hangs: bool = False) -> None:
        """End it with all that it started, also what has left it since; one that hangs is not asked first."""
        if self._process.poll() is None and not hangs:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(TERM_S)
        end = time.monotonic() + KILL_S
        while (left := _reap_and_list()) and time.monotonic() < end:
            for pid in left:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        self._process.poll()


def _reap_and_list() -> list[int]:
    """Who is left below this process, once those that have ended are collected."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return descendants(os.getpid())


def free_port() -> int:
    """One that nobody uses now."""
    for port in random.SystemRandom().sample(PORTS, 200):
        with suppress(OSError), socket.socket() as trial:
            trial.bind(("127.0.0.1", port))
            return port
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def healthy(port: int, path: str, key: str, soon: float = HEALTH_S) -> bool:
    """Whether the path is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=min(soon, HEALTH_S))
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def listeners(port: int, lines: Iterable[str]) -> frozenset[str]:
    """Inodes of the sockets that listen on the port, from lines of /proc/net/tcp and tcp6. Pure."""
    found = set()
    for fields in (line.split() for line in lines):
        if len(fields) > 9 and fields[3] == _LISTENS and fields[1].rpartition(":")[2] == f"{port:04X}":
            found.add(fields[9])
    return frozenset(found)


def _tables() -> list[str]:
    lines = []
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            lines += Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    return lines


def sockets_of(pids: Collection[int]) -> set[str]:
    """Inodes of all sockets that these processes have open."""
    found = set()
    for pid in pids:
        with suppress(OSError):  # it has left
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                    if target.startswith("socket:["):
                        found.add(target[8:-1])
    return found
