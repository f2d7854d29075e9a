"""Messages between supervisor and stage process: JSON lines over an inherited socket, never stdout.

Stdout belongs to the user's code and goes to the log. Data travel as files. Runs in every stage
environment: Python 3.9 or newer.
"""

from __future__ import annotations

import json
import select
import socket
from typing import Any, Optional

PROTOCOL = 1
"""Raised when a message changes meaning; both sides compare it in `hello`."""

Message = dict[str, Any]


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of the conversation."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = b""

    def send(self, kind: str, **content: Any) -> None:
        """Send one message. Raises ChannelClosed."""
        try:
            self._socket.sendall(json.dumps({"type": kind, **content}).encode() + b"\n")
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
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        """Close this end; the other sees the end of the stream."""
        self._socket.close()
