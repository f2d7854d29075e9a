"""What a page may be asked for, and which bodies its queue sees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpcurate.serving.page_routes import Refused, Route, checked_join, policy, route_of, with_nonce

API = "/gradio_api"


@pytest.mark.parametrize(
    ("method", "path", "query", "route"),
    [
        ("GET", "", "token=x&deep_link=../../a", Route("page")),
        ("HEAD", "/", "", Route("page")),
        ("GET", "/assets/index-D_1.js", "", Route("asset")),
        ("GET", "/theme.css", "v=1", Route("asset")),
        ("GET", f"{API}/heartbeat/abc1", "", Route("heartbeat", "abc1")),
        ("GET", f"{API}/queue/data", "session_hash=abc1&x=y", Route("data", "abc1", "session_hash=abc1")),
        ("POST", f"{API}/queue/join", "", Route("join")),
        ("POST", f"{API}/upload", "upload_id=u1", Route("upload", "u1")),
        ("GET", f"{API}/upload_progress", "upload_id=u1", Route("progress", "u1")),
        ("GET", f"{API}/file=abc.mp4", "", Route("file", "abc.mp4")),
    ],
)
def test_what_the_page_needs_is_there(method: str, path: str, query: str, route: Route) -> None:
    """And of a query only what it is for."""
    assert route == route_of(method, path, query)


@pytest.mark.parametrize(
    "path",
    [
        "/config", "/config/", "/login", "/logout", "/monitoring", "/monitoring/summary", "/monitoring/key", "/svelte/a.js",
        "/manifest.json", "/robots.txt", "/favicon.ico", "/pwa_icon", "/gradio_api", "/gradio_api/", "/static/img/logo.svg",
        "/assets/", "/assets/../routes.py", "/assets/.hidden", "/assets//etc/passwd", "/assets/a/../../b", "/theme.css/x",
        *(f"{API}/{name}" for name in (
            "info", "openapi.json", "app_id", "token", "user", "login_check", "dev/reload", "runs", "startup-events",
            "run-history/connect", "run-history/buckets", "run-history/records", "deep_link", "process_recording",
            "proxy=http://127.0.0.1/", "proxy=https://x.hf.space/", "file/etc/passwd", "custom_component/a/client/b/c.js",
            "vibe-edit", "vibe-code", "vibe-starter-queries", "undo-vibe-edit", "component_server", "queue/status",
            "call/run", "call/v2/run", "call/run/1", "run/run", "api/run", "stream/1", "stream/a/b/1/playlist.m3u8",
            "reset", "cancel", "heartbeat/", "heartbeat/a/b", "heartbeat/../x", "mcp", "mcp/sse", "profiling/traces",
            "theme.css",
        )),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_nothing_else_is(method: str, path: str) -> None:
    """Whatever else Gradio answers."""
    assert route_of(method, path, "session_hash=abc&upload_id=u1") is None


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_no_other_methods(method: str) -> None:
    """Of anything."""
    for path in ("/", f"{API}/queue/join", f"{API}/queue/data", f"{API}/upload", f"{API}/file=a"):
        assert route_of(method, path, "session_hash=abc") is None


@pytest.mark.parametrize(
    "query", ["", "session_hash=", "session_hash=a/b", "session_hash=" + "a" * 65, "session_hash=é"]
)
def test_a_session_is_a_word(query: str) -> None:
    """Else there is nothing."""
    assert route_of("GET", f"{API}/queue/data", query) is None


def joined(**changes: Any) -> bytes:
    """What the page sends, changed."""
    body = {"data": ["a", 1], "fn_index": 0, "session_hash": "abc", "event_data": None, "trigger_id": 5}
    return json.dumps({**body, **changes}).encode()


def check(body: bytes) -> Any:
    """One function of two values; `ours.mp4` is an upload of session abc."""
    return json.loads(checked_join(body, {0: 2}, lambda name, session: (name, session) == ("ours.mp4", "abc")))


def test_plain_values_pass() -> None:
    """And nothing that the page does not say."""
    more = {"oauth_token": "x", "simple_format": True, "batched": True, "event_id": "x", "event_data": {"path": "/a"}}
    expected = {"data": ["a", None], "fn_index": 0, "session_hash": "abc", "event_data": None, "trigger_id": None}
    assert expected == check(joined(data=["a", None], trigger_id={"a": 1}, **more))
    assert [True, 1.5] == check(joined(data=[True, 1.5]))["data"]


def test_an_upload_becomes_its_name() -> None:
    """Whatever else its record says: no path and no address reach Gradio."""
    record = {"path": "ours.mp4", "url": "http://127.0.0.1:1/", "meta": {"_type": "gradio.FileData"}, "is_stream": True}
    assert ["ours.mp4", 1] == check(joined(data=[record, 1]))["data"]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../ours.mp4",
        "http://127.0.0.1/",
        "https://huggingface.co/x",
        "file:///etc/passwd",
        "",
        "other.mp4",
    ],
)
def test_no_other_file_is_taken(path: str) -> None:
    """Of the server, of another server, of another session."""
    with pytest.raises(Refused) as refused:
        check(joined(data=[{"path": path, "meta": {"_type": "gradio.FileData"}}, 1]))
    assert 403 == refused.value.status


def test_nor_one_of_another_session() -> None:
    """Even if its name is known."""
    with pytest.raises(Refused):
        check(joined(session_hash="abd", data=[{"path": "ours.mp4"}, 1]))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"3", b"[" * 100_000, b"\xff",
        joined(data=[{"url": "http://x/"}, 1]), joined(data=[["a"], 1]), joined(data=[{"path": 3}, 1]),
        joined(data=[{"value": {"path": "ours.mp4"}}, 1]), joined(data=["a"]), joined(data="ab"), joined(data=None),
        joined(fn_index=1), joined(fn_index=True), joined(fn_index="0"), joined(fn_index=None),
        joined(session_hash=None), joined(session_hash="../x"), joined(session_hash=["abc"]),
    ],
)  # fmt: skip
def test_other_bodies_are_refused(body: bytes) -> None:
    """Before Gradio sees them."""
    with pytest.raises(Refused) as refused:
        check(body)
    assert refused.value.status in (400, 404)


def test_the_page_asks_nobody_else() -> None:
    """Its policy names this server alone; scripts need the nonce of this answer."""
    text = policy("abc")
    assert "http" not in text
    assert "script-src 'self' 'nonce-abc'" in text
    assert "'unsafe-inline'" not in text.partition("style-src")[0]


def test_scripts_have_the_nonce_and_the_rest_is_gone() -> None:
    """Of Gradio's template: pictures for previews, a manifest, a script for frames."""
    html = (
        '<head><meta property="og:image"\n content="https://a/b.jpg" /><meta name="twitter:creator" content="@G" />'
        '<link rel="manifest" href="/manifest.json" /><link rel="stylesheet" href="./a.css">'
        '<script>window.c = {"a": "\\u003cscript>"}</script><script type="module" src="./a.js"></script>'
        "<script>\nx = 1; s.src = `/static/js/iframeResizer.min.js`</script></head>"
    )
    left = with_nonce(html, "n1")
    assert 2 == left.count("<script") == left.count('<script nonce="n1"')
    assert all(word not in left for word in ("https:", "twitter", "manifest", "iframeResizer"))
    assert "./a.css" in left
