"""The channel between supervisor and stage process: a socket, never stdout.

The socket is inherited; where the stage process starts in a container, which may inherit nothing, it connects to one
in Linux's abstract namespace (unix(7)), whose name it is given and which takes this user's processes only.

Stdout belongs to the user's code and goes to the log. Data travel as files.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Callable, Optional

from hpcurate.stage_process.messages import Message, decode, encode
from hpcurate.system.processes import nonce


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of the conversation."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = b""

    def send(self, message: Message) -> None:
        """Send one message. Raises ChannelClosed."""
        try:
            self._socket.sendall(encode(message))
        except OSError as error:
            raise ChannelClosed(str(error)) from None

    def receive(self, timeout: Optional[float] = None) -> Optional[Message]:
        """The next message, or None after `timeout` seconds. Raises ChannelClosed."""
        while b"\n" not in self._buffer:
            if timeout is not None and not select.select([self._socket], [], [], timeout)[0]:
                return None
            try:
                data = self._socket.recv(65536)
            except OSError as error:
                raise ChannelClosed(str(error)) from None
            if not data:
                raise ChannelClosed("end of stream")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return decode(line)

    def close(self) -> None:
        """Close this end; the other sees the end of the stream."""
        self._socket.close()

    def hang_up(self) -> None:
        """End the conversation on both sides, from any thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def on_end(self, action: Callable[[], None], after_s: float) -> None:
        """From now on call `action`, in a thread, so long after the other side is gone."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)

        def watch() -> None:
            poll.poll()
            time.sleep(after_s)
            action()

        threading.Thread(target=watch, daemon=True, name="supervisor-watch").start()


class Listener:
    """Waits for one stage process to connect."""

    def __init__(self) -> None:
        self.address = f"hpcurate-{os.getpid()}-{nonce(16)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(f"\0{self.address}")
        self._socket.listen(1)

    def accept(self, timeout: float) -> Optional[socket.socket]:
        """The connection, or None after `timeout` seconds. Another user's is turned away (SO_PEERCRED)."""
        if not select.select([self._socket], [], [], timeout)[0]:
            return None
        connection, _ = self._socket.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] != os.getuid():
            connection.close()
            return None
        return connection

    def close(self) -> None:
        """Nobody may connect any more."""
        self._socket.close()


def connect(address: str) -> socket.socket:
    """The stage process's end. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(f"\0{address}")
    return connection
