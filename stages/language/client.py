"""HTTP to a server that speaks OpenAI's protocol. Whatever goes wrong is one of the errors of `chat.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from stages.language.chat import CutOff, Malformed, TooSlow, Unreachable, failure_of

CONNECT_S = 10.0
LONGEST_WAIT_S = 60.0
"""That a server may ask for (`Retry-After`); one that asks for more is asked again after this."""
MOST_BYTES = 32 << 20
"""Of an answer."""


class Client:
    """Connections to one server, for as many threads as there may be requests at once."""

    def __init__(self, at_once: int, timeout_s: float, proxies: bool = True) -> None:
        """`proxies`: whether it goes through those that the environment names."""
        import httpx2

        self._library, self._timeout_s = httpx2, timeout_s
        self._http = httpx2.Client(
            trust_env=proxies,
            limits=httpx2.Limits(max_connections=at_once, max_keepalive_connections=at_once),
            timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
        )
        self._not_before, self._lock = 0.0, threading.Lock()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def get(self, url: str, key: str) -> bytes:
        """What is there. Raises NoAnswer. `key`: sent as a bearer token; empty: none."""
        return self._sent("GET", url, key, {}, None)

    def post(self, url: str, key: str, body: bytes) -> bytes:
        """What is answered. Raises NoAnswer. Where the server has said when to ask again, it waits until then."""
        while (wait_s := self._not_before - time.monotonic()) > 0:
            time.sleep(wait_s)
        return self._sent("POST", url, key, {"Content-Type": "application/json"}, body)

    def _sent(self, method: str, url: str, key: str, headers: dict[str, str], body: bytes | None) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        headers = {**headers, "Authorization": f"Bearer {key}"} if key else headers
        with self._named(), self._http.stream(method, url, headers=headers, content=body) as response:
            answer = self._read(response, deadline)
        if response.status_code != 200:
            self._wait_as_told(response.headers.get("Retry-After", ""))
            raise failure_of(response.status_code, answer)
        return answer

    def _read(self, response: Any, deadline: float) -> bytes:
        """The body, which may come in drops."""
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > MOST_BYTES:
                raise Malformed(f"an answer of more than {MOST_BYTES >> 20} MiB")
            if time.monotonic() > deadline:
                raise TooSlow(f"no whole answer within {self._timeout_s:g} s (server.timeout_s)")
        return bytes(body)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """The library's errors as ours."""
        library = self._library
        try:
            yield
        except (library.ConnectError, library.ConnectTimeout, library.ProxyError) as error:
            raise Unreachable(f"no connection: {error}") from error
        except library.TimeoutException as error:
            raise TooSlow(f"no answer within {self._timeout_s:g} s (server.timeout_s)") from error
        except library.DecodingError as error:
            raise Malformed(f"cannot be unpacked: {error}") from error
        except library.RequestError as error:
            raise CutOff(f"the connection ended: {error}") from error

    def _wait_as_told(self, retry_after: str) -> None:
        """All requests wait: a limit is one of the key, not of a question."""
        wait_s = seconds_of(retry_after, time.time())
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + min(wait_s, LONGEST_WAIT_S))


def seconds_of(retry_after: str, now: float) -> float:
    """Seconds to wait by a `Retry-After`: a number, or a date; 0 for anything else. Pure."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return 0.0
