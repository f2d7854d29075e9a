"""What a page of Gradio may be asked for, and which bodies its queue may see. Pure.

Gradio (6.31) has some eighty routes; a page without its footer uses ten of them. Mounted into an app of ours it checks
no path: `_check_allowed` in its processing_utils.py returns at once unless `launch()` was called, so that a body of
`queue/join` with `{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}` copies that file to where `file=`
gives it out, and one with a URL is fetched by the server. So nothing that looks like a file ever reaches its code: a
file is uploaded to us (page_uploads.py), and in a body its record becomes the random name under which we keep it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import parse_qsl

import attrs

__all__ = ["Refused", "Route", "checked_join", "policy", "route_of", "with_nonce"]

Kind = Literal["page", "asset", "join", "data", "heartbeat", "upload", "progress", "file"]
MOST_BODY = 2 * 2**20
"""Bytes of a body of the queue: what is typed into fields."""
API = "/gradio_api"
SESSION = "[A-Za-z0-9]{1,64}"


@attrs.frozen
class Route:
    """What a request asks for, and what of its query its answer sees."""

    kind: Kind
    name: str = ""
    """Of a session, an upload, or what is uploaded."""
    query: str = ""


class Refused(Exception):
    """A request that no page of ours makes: (status, text)."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def route_of(method: str, path: str, query: str) -> Route | None:
    """None: there is nothing at this place. `path` is behind the page's own, and no longer has percent signs."""
    reading = method in ("GET", "HEAD")
    if reading and path in ("", "/"):
        return Route("page")
    if reading and re.fullmatch(r"/theme\.css|/assets(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*)+", path):
        return Route("asset")
    if not path.startswith(API + "/"):
        return None
    return _of_api(method, path.removeprefix(API), dict(parse_qsl(query)))


def _of_api(method: str, path: str, asked: Mapping[str, str]) -> Route | None:
    session, upload = asked.get("session_hash", ""), asked.get("upload_id", "")
    if method == "POST":
        kinds: dict[str, Route] = {"/queue/join": Route("join"), "/upload": Route("upload", _word(upload))}
        return kinds.get(path)
    if method not in ("GET", "HEAD"):
        return None
    if path == "/queue/data" and _word(session):
        return Route("data", session, f"session_hash={session}")
    if path == "/upload_progress" and _word(upload):
        return Route("progress", upload)
    if found := re.fullmatch(f"/heartbeat/({SESSION})", path):
        return Route("heartbeat", found[1])
    if path.startswith("/file="):
        return Route("file", path.removeprefix("/file="))
    return None


def _word(name: str) -> str:
    return name if re.fullmatch(SESSION, name) else ""


def checked_join(body: bytes, fields: Mapping[int, int], may_use: Callable[[str, str], bool]) -> bytes:
    """The body of `queue/join` with plain values alone, and nothing but what our own page says. Raises Refused.

    `fields`: our functions → how many values they take. `may_use(name, session)`: whether we keep an upload of this
    name that this session may use.
    """
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "a body of JSON was expected") from None
    if not isinstance(sent, dict):
        raise Refused(400, "an object of JSON was expected")
    function, session, data = sent.get("fn_index"), sent.get("session_hash"), sent.get("data")
    if type(function) is not int or function not in fields:
        raise Refused(404, "this page has no such function")
    if not isinstance(session, str) or not _word(session):
        raise Refused(400, "session_hash: letters and digits were expected")
    if not isinstance(data, list) or len(data) != fields[function]:
        raise Refused(400, f"data: a list of {fields[function]} values was expected")
    trigger = sent.get("trigger_id")
    plain = [_plain(value, lambda name: may_use(name, session)) for value in data]
    kept = {"data": plain, "fn_index": function, "session_hash": session, "event_data": None}
    return json.dumps({**kept, "trigger_id": trigger if type(trigger) is int else None}).encode()


def _plain(value: Any, may_use: Callable[[str], bool]) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict) and isinstance(name := value.get("path"), str):
        if may_use(name):
            return name
        raise Refused(403, "this file was not uploaded by this page, or is no longer kept: choose it once more")
    raise Refused(400, "data: texts, numbers, true, false, null and uploaded files were expected")


def policy(nonce: str) -> str:
    """What a browser may do with the page: ask this server alone, and run only what the server itself wrote into it.

    `unsafe-eval`: `gr.HTML` compiles its template, always `${value}`; what it shows is a value and never compiled.
    """
    scripts = f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'"
    own = f"{scripts}; style-src 'self' 'unsafe-inline'; connect-src 'self'; worker-src 'self'"
    media = "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'"
    return f"default-src 'none'; {own}; {media}; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"


def with_nonce(page: str, nonce: str, drop: Sequence[str] = ("iframeResizer", "manifest.json")) -> str:
    """Gradio's HTML whose scripts may run, without what asks for more: preview pictures, a manifest, a resizer.

    The configuration inside has no `<`, Gradio escapes it: every tag that is found is one of the template.
    """
    page = re.sub(r'<meta\s+(property|name)="(og|twitter):[^>]*>', "", page)
    page = re.sub(r"<link\b[^>]*>", lambda tag: "" if any(word in tag[0] for word in drop) else tag[0], page)
    page = re.sub(
        r"<script\b[^>]*>.*?</script>",
        lambda script: "" if any(f"/{word}" in script[0] for word in drop) else script[0],
        page,
        flags=re.DOTALL,
    )
    page = page.replace("</head>", '<link rel="icon" href="data:,"></head>', 1)
    return re.sub(r"<script\b", f'<script nonce="{nonce}"', page)
