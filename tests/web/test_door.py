"""Who may come in: every kind of request, decided without a server."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from hpcurate.web.door import Asked, Door, has_token, is_ours, new_token, refusal, without_token

OURS = frozenset({"127.0.0.1", "localhost", "::1"})
EVERYWHERE = OURS | {"0.0.0.0", "node7"}
TOKEN = "t0ken-of-this_start"
ASKED = Asked("GET", "/", "", {"host": "127.0.0.1:8123"})


def asked(method: str = "GET", path: str = "/", query: str = "", **headers: str) -> Asked:
    """A request with a Host of ours."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return attrs.evolve(ASKED, method=method, path=path, query=query, headers={**ASKED.headers, **named})


def test_tokens_are_long_and_new() -> None:
    """43 letters of an address have 256 bits."""
    tokens = {new_token() for _ in range(100)}
    assert (100, {43}) == (len(tokens), {len(token) for token in tokens})


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8123", "localhost:1", "LocalHost:9999", "[::1]:8123", "[::1]"]
)
def test_a_host_of_ours_at_any_port(host: str) -> None:
    """A tunnel has another port than the server."""
    assert is_ours(host, OURS)


@pytest.mark.parametrize(
    "host",
    ["", ":8123", "evil.example", "evil.example:8123", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7",
     "user@127.0.0.1", "[::2]", "[", "127.0.0.1 ", "0.0.0.0"],
)  # fmt: skip
def test_any_other_host_is_refused(host: str) -> None:
    """A foreign name that leads to 127.0.0.1 would make our answers its own."""
    refused = refusal(asked(host=host), OURS)
    assert refused is not None
    assert 421 == refused[0]


@pytest.mark.parametrize(("host", "ours"), [("10.0.0.7:8123", True), ("[fe80::1]:1", True), ("node7", True), ("evil", False)])  # fmt: skip
def test_on_all_addresses_any_address_is_ours_and_no_other_name(host: str, ours: bool) -> None:
    """Nobody can have an address lead elsewhere; a name they can."""
    assert ours == is_ours(host, EVERYWHERE)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8123", None),
        ("https://127.0.0.1:8123", None),
        ("HTTP://127.0.0.1:8123", None),
        ("http://127.0.0.1:8124", 403),
        ("http://127.0.0.1", 403),
        ("http://localhost:8123", 403),
        ("https://evil.example", 403),
        ("http://127.0.0.1:8123.evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://127.0.0.1:8123, http://evil.example", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_an_origin_is_the_host(origin: str, status: int | None, method: str) -> None:
    """Another port of this machine is another user's page."""
    refused = refusal(asked(method, origin=origin), OURS)
    assert status == (refused and refused[0])


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize(("mode", "dest"), [("navigate", "document"), ("navigate", "iframe"), ("no-cors", "image")])
def test_a_page_of_another_site_may_only_link_here(site: str, method: str, mode: str, dest: str) -> None:
    """Whatever a browser calls it: an image, a frame, a form that is sent."""
    refused = refusal(asked(method, sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=dest), OURS)
    is_link = method in ("GET", "HEAD") and dest == "document"
    assert (None if is_link else 403) == (refused and refused[0])


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_pages_and_typed_addresses_come_in(site: str) -> None:
    """With any method."""
    assert refusal(asked("POST", sec_fetch_site=site, sec_fetch_mode="cors", sec_fetch_dest="empty"), OURS) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer {TOKEN}"},
        {"cookie": f"hpcurate-8123={TOKEN}"},
        {"cookie": f"theme=dark; hpcurate-8123=old; hpcurate-8123={TOKEN}"},
    ],
)
def test_who_has_the_token(headers: dict[str, str]) -> None:
    """As a bearer, or in the cookie."""
    assert has_token(asked(**headers), TOKEN, "hpcurate-8123")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": "Bearer ÿþ"},
        {"cookie": f"hpcurate-8124={TOKEN}"},
        {"cookie": f"hpcurate-8123x={TOKEN}"},
        {"cookie": "hpcurate-8123="},
        {"cookie": f"a=hpcurate-8123={TOKEN}"},
        {"x-token": TOKEN},
    ],
)
def test_who_has_it_not(headers: dict[str, str]) -> None:
    """Nothing that is near it counts."""
    assert not has_token(asked(**headers), TOKEN, "hpcurate-8123")


@pytest.mark.parametrize(
    ("path", "query", "address"),
    [
        ("/", f"token={TOKEN}", "/"),
        ("/docs", f"a=1&token={TOKEN}&b=", "/docs?a=1&b="),
        ("/a%2Fb", f"token=wrong&token={TOKEN}", "/a%2Fb"),
        ("//evil.example/x", f"token={TOKEN}", "/evil.example/x"),
        ("/\\evil.example", f"token={TOKEN}", "/evil.example"),
        ("http://evil.example/", f"token={TOKEN}", "/http://evil.example/"),
        ("/", "token=wrong", None),
        ("/", "token=", None),
        ("/", f"Token={TOKEN}", None),
        ("/", "", None),
    ],
)
def test_the_token_leaves_the_address(path: str, query: str, address: str | None) -> None:
    """And nobody is led to another host by it."""
    assert address == without_token(asked("GET", path, query), TOKEN)


def test_a_token_in_the_address_of_anything_but_a_visit_counts_nothing() -> None:
    """Whatever changes something sends it in a header."""
    assert without_token(asked("POST", query=f"token={TOKEN}"), TOKEN) is None


def test_web_sockets_are_refused() -> None:
    """Nothing of ours has any, also with the token."""
    sent = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: object) -> None:
        sent.append(message)

    async def app(*_: object) -> None:
        raise AssertionError("asked")

    asyncio.run(Door(app, TOKEN, OURS, "c")({"type": "websocket", "headers": []}, receive, send))
    assert [{"type": "websocket.close", "code": 1008}] == sent
