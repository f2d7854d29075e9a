"""The channel between supervisor and stage process: a socket, never stdout.

The socket is inherited; where the stage process starts in a container, which may inherit nothing, it connects to one
in Linux's abstract namespace (unix(7)), whose name it is given and which takes this user's processes only.

Stdout belongs to the user's code and goes to the log. Data travel as files.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Optional

from hpcurate.stage_process.messages import Message, decode, encode
from hpcurate.system.processes import Watched, nonce

APART = 200
"""Lowest number of the stage process's descriptor: programs write to, and close, small ones that they did not open."""
LOOK_S = 0.5
"""How often a process is looked for where the kernel has no pidfd."""


class ChannelClosed(Exception):
    """The other side is gone."""


class NoMessage(Exception):
    """Somebody wrote to the channel who has no business there: what came is no message, or not one that fits."""


class Channel:
    """One end of the conversation; with `other`, it has ended when that process has, whoever still holds its end."""

    def __init__(self, sock: socket.socket, other: Optional[Watched] = None) -> None:
        self._socket, self._other = sock, other
        self._buffer = b""
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Send one message, from any thread. Raises ChannelClosed."""
        try:
            with self._sending:
                self._socket.sendall(encode(message))
        except OSError as error:
            raise ChannelClosed(str(error)) from None

    def receive(self, timeout: Optional[float] = None) -> Optional[Message]:
        """The next message, or None after `timeout` seconds. Raises ChannelClosed, NoMessage."""
        while b"\n" not in self._buffer:
            try:
                if not self._readable(timeout):
                    return None
                data = self._socket.recv(65536)
            except OSError as error:
                raise ChannelClosed(str(error)) from None
            if not data:
                raise ChannelClosed("end of stream")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            return decode(line)
        except ValueError:
            raise NoMessage(f"{line[:80]!r} is no message") from None

    def _readable(self, timeout: Optional[float]) -> bool:
        """Whether there is something to read, within `timeout` seconds. Raises ChannelClosed once nothing will come."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            if self._waited(left):
                return True
            if self._other and self._other.gone():
                if self._waited(0.0):  # its last words came before it went
                    return True
                raise ChannelClosed("its process has ended")
            if end is not None and time.monotonic() >= end:
                return False

    def _waited(self, timeout: Optional[float]) -> bool:
        """Wait until there is something to read, or the other process has ended, or may have."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if self._other and self._other.descriptor is not None:
            poll.register(self._other.descriptor, select.POLLIN)
        elif self._other:
            timeout = LOOK_S if timeout is None else min(timeout, LOOK_S)
        ready = poll.poll(None if timeout is None else timeout * 1000)
        return any(descriptor == self._socket.fileno() for descriptor, _ in ready)

    def close(self) -> None:
        """Close this end; the other sees the end of the stream."""
        self._socket.close()
        if self._other:
            self._other.close()

    def close_in_children(self) -> None:
        """No process forked from this one keeps it."""
        os.register_at_fork(after_in_child=self.close)

    def hang_up(self) -> None:
        """End the conversation on both sides, from any thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


def apart(sock: socket.socket) -> socket.socket:
    """The same socket where no program finds it by accident, nor one that is started inherits it."""
    try:
        moved = socket.socket(fileno=fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, APART))
    except OSError:  # so few descriptors may be open here
        sock.set_inheritable(False)
        return sock
    sock.close()
    return moved


class Listener:
    """Waits for one stage process to connect."""

    def __init__(self) -> None:
        self.address = f"hpcurate-{os.getpid()}-{nonce(16)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(f"\0{self.address}")
        self._socket.listen(1)

    def accept(self, timeout: float) -> Optional[tuple[socket.socket, int]]:
        """(the connection, its process or 0 where that cannot be seen), or None after `timeout` seconds.

        Another user's is turned away (SO_PEERCRED).
        """
        if not select.select([self._socket], [], [], timeout)[0]:
            return None
        connection, _ = self._socket.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, user, _ = struct.unpack("3i", credentials)
        if user != os.getuid():
            connection.close()
            return None
        return connection, pid

    def close(self) -> None:
        """Nobody may connect any more."""
        self._socket.close()


def connect(address: str) -> socket.socket:
    """The stage process's end. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(f"\0{address}")
    return connection
