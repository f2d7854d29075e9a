"""Who may come in: an ASGI middleware in front of everything that a server of ours answers. It needs no package.

On a shared machine everybody reaches its loopback, and a page of any site that the user visits may send requests there.
So a request needs the token (from the others on the machine), a Host of ours (else a foreign name that leads to
127.0.0.1 would make our pages a part of that site: DNS rebinding), and no foreign Origin.
"""

from __future__ import annotations

import hmac
import html
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import attrs

__all__ = ["App", "Door", "Message", "Receive", "Scope", "Send", "new_token"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
"""As ASGI 3 has them."""

TOKEN_BYTES = 32
ANY_ADDRESS = frozenset({"0.0.0.0", "::"})
HEADERS = (
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    # not no-referrer: with that, browsers send a plain form of our own page with `Origin: null`
    ("referrer-policy", "same-origin"),
    ("content-security-policy", "frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),
)
"""Of every answer, unless the app has set its own."""
NO_TOKEN = (
    "This address needs its token: take the whole address that was printed when the server started,\n"
    "http://…/?token=…, or send the token in a header: Authorization: Bearer TOKEN\n"
    "Each start of the server has a new token.\n"
)


def new_token() -> str:
    """256 random bits, in letters that an address may have."""
    return secrets.token_urlsafe(TOKEN_BYTES)


@attrs.frozen
class Asked:
    """What of a request the door looks at."""

    method: str
    path: str
    """As it was sent, still with its percent signs."""
    query: str
    headers: dict[str, str]
    """Lower-case names; one that is there twice has both values, with a comma between."""

    @classmethod
    def of(cls, scope: Scope) -> Asked:
        """From an ASGI scope of HTTP."""
        headers: dict[str, str] = {}
        for raw, value in scope["headers"]:
            name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
            between = "; " if name == "cookie" else ", "
            headers[name] = f"{headers[name]}{between}{text}" if name in headers else text
        path = scope.get("raw_path") or scope["path"].encode()
        return cls(scope["method"], path.decode("latin-1"), scope["query_string"].decode("latin-1"), headers)

    @property
    def is_visit(self) -> bool:
        """A link that was followed, or an address that was typed: no page reads the answer."""
        mode = self.headers.get("sec-fetch-mode"), self.headers.get("sec-fetch-dest")
        return self.method in ("GET", "HEAD") and mode == ("navigate", "document")

    @property
    def from_elsewhere(self) -> bool:
        """Whether a page of another site asked for it, or one of another port: that is `same-site` for browsers."""
        return self.headers.get("sec-fetch-site") in ("cross-site", "same-site")


def host_of(netloc: str) -> str:
    """The host of `host`, `host:port`, `[v6]` or `[v6]:port`, in lower case. Pure."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0].lower()
    return netloc.partition(":")[0].lower()


def is_ours(netloc: str, hosts: frozenset[str]) -> bool:
    """Whether a Host header names this server, at any port: tunnels have others. Pure.

    One that listens on all addresses takes any address; a name that leads here is none.
    """
    host = host_of(netloc)
    return host in hosts or (bool(hosts & ANY_ADDRESS) and _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def refusal(asked: Asked, hosts: frozenset[str]) -> tuple[int, str] | None:
    """(status, text) if a request is no matter for this server, whoever sent it. Pure."""
    host = asked.headers.get("host", "")
    if not is_ours(host, hosts):
        return 421, "This server does not answer for this host: take the address that it printed.\n"
    origin = asked.headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        return 403, "A page of another site asked for this.\n"
    if asked.from_elsewhere and not asked.is_visit:
        return 403, "A page of another site asked for this.\n"
    return None


def has_token(asked: Asked, token: str, cookie: str) -> bool:
    """Whether a header of the request has the token, which is compared in constant time. Pure."""
    scheme, _, bearer = asked.headers.get("authorization", "").partition(" ")
    given = [bearer.strip()] if scheme.lower() == "bearer" else []
    for part in asked.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == cookie:
            given.append(value)
    return any([_same(one, token) for one in given])


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def without_token(asked: Asked, token: str) -> str | None:
    """Where a visit with the right `?token=` goes on, if this is one: the same address without it. Pure."""
    if asked.method not in ("GET", "HEAD"):
        return None
    pairs = parse_qsl(asked.query, keep_blank_values=True)
    if not any([name == "token" and _same(value, token) for name, value in pairs]):
        return None
    query = urlencode([(name, value) for name, value in pairs if name != "token"])
    path = "/" + asked.path.replace("\\", "/").lstrip("/")  # two slashes would be the name of another host
    return f"{path}?{query}" if query else path


class Door:
    """An app behind it is asked only by those who may: 401, 403 and 421 are answered here. No WebSockets."""

    def __init__(self, app: App, token: str, hosts: frozenset[str], cookie: str) -> None:
        self.app, self.token, self.hosts, self.cookie = app, token, hosts, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await receive()  # what connects
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._http(Asked.of(scope), scope, receive, _with_headers(send))

    async def _http(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        refused = refusal(asked, self.hosts)
        if refused is not None:
            await answer(send, *refused)
        elif (address := without_token(asked, self.token)) is not None:
            await self._let_in(asked, address, send)
        elif has_token(asked, self.token, self.cookie):
            await self.app(scope, receive, send)
        else:
            await answer(send, 401, NO_TOKEN, [("www-authenticate", "Bearer")])

    async def _let_in(self, asked: Asked, address: str, send: Send) -> None:
        """Take the token out of the address, where it would stay in the history, and into a cookie."""
        cookie = ("set-cookie", f"{self.cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/")
        if not asked.from_elsewhere:
            await answer(send, 303, "", [cookie, ("location", address)])
            return
        # a link on another site: browsers keep a strict cookie back until a page of ours asks
        page = f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(address)}">'
        await answer(send, 200, page, [cookie, ("content-type", "text/html; charset=utf-8")])


async def answer(send: Send, status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> None:
    """A whole answer, of plain text unless the headers say otherwise."""
    body = text.encode()
    with_type = {"content-type": "text/plain; charset=utf-8", **dict(headers), "content-length": str(len(body))}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in with_type.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            has = {name.lower() for name, _ in message.get("headers", ())}
            more = [(n.encode(), v.encode()) for n, v in HEADERS if n.encode() not in has]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return adding
