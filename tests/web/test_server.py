"""A real server: where it listens, what it lets through, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from little_app import little_app
from web_client import Client, answer_of, read_all, serving

from hpcurate.errors import UserError
from hpcurate.web import listening
from hpcurate.web.events import Topic
from hpcurate.web.server import Address, Server, exposure, hosts_of

TOPIC = Topic()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Of a server for all tests of this file that do not end it."""
    with serving(little_app(TOPIC, tmp_path_factory.mktemp("forms")), most_body=5 * 2**20) as client:
        yield client


# -- the way in


def test_with_the_token_one_is_let_in(client: Client) -> None:
    """And headers that the app has not set are there."""
    answer = client.ask("GET", "/")
    assert (200, "the page") == (answer.status, answer.text)
    assert "max-age=60" == answer.headers["cache-control"], "its own"
    assert ("nosniff", "frame-ancestors 'none'", "same-origin") == tuple(
        answer.headers[name] for name in ("x-content-type-options", "content-security-policy", "referrer-policy")
    )
    assert "server" not in answer.headers


@pytest.mark.parametrize("given", ["", "Bearer wrong", "Basic x", "Bearer"])
def test_without_it_one_is_not(client: Client, given: str) -> None:
    """Whatever is asked for, there or not: a short page says what is needed, and nothing is kept by a browser."""
    for method, path in (("GET", "/"), ("POST", "/form"), ("GET", "/nothing"), ("DELETE", "/")):
        answer = client.ask(method, path, Authorization=given)
        assert (401, "no-store") == (answer.status, answer.headers["cache-control"])
        assert "take the whole address that was printed" in answer.text


def test_a_token_in_the_address_becomes_a_cookie(client: Client) -> None:
    """The browser goes to the address without it; pages and the app never see it."""
    url = client.address.url
    assert url.startswith(f"http://127.0.0.1:{client.address.port}/?token=")
    first = client.ask("GET", url.partition(str(client.address.port))[2] + "&a=1", Authorization="")
    assert (303, "/?a=1") == (first.status, first.headers["location"])
    cookie, *flags = first.headers["set-cookie"].split("; ")
    assert f"hpcurate-{client.address.port}={client.address.token}" == cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} == set(flags)
    assert 200 == client.ask("GET", "/?a=1", Authorization="", Cookie=cookie).status


def test_a_link_on_another_site_may_have_the_token(client: Client) -> None:
    """Browsers hold a strict cookie back from what another site's link leads to: a page of ours asks again."""
    elsewhere = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    answer = client.ask("GET", f"/?token={client.address.token}&a=%22%3E", Authorization="", **elsewhere)
    assert (200, "text/html; charset=utf-8") == (answer.status, answer.headers["content-type"])
    assert '<!doctype html><meta http-equiv="refresh" content="0; url=/?a=%22%3E">' == answer.text


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (421, {"Host": "evil.example"}),
        (421, {"Host": "evil.example:80"}),
        (403, {"Origin": "http://evil.example"}),
        (403, {"Origin": "null"}),
        (403, {"Sec_Fetch_Site": "same-site"}),
    ],
)
def test_who_comes_from_elsewhere_is_not_let_in(client: Client, status: int, headers: dict[str, str]) -> None:
    """Also with the token."""
    for method in ("GET", "POST"):
        assert status == client.ask(method, "/", **headers).status


def test_two_hosts_are_none(client: Client) -> None:
    """Whoever takes the first and whoever takes the last would differ."""
    said = client.raw(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{client.address.port}\r\nHost: evil.example\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 400")


def test_an_upgrade_to_a_web_socket_is_refused(client: Client) -> None:
    """It is answered as any other request for that path."""
    lines = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
    )
    with client.socket("GET /ws HTTP/1.1", *lines) as made:
        assert b" 404 " in made.recv(1000)


# -- bounds


def test_a_head_has_a_bound(client: Client) -> None:
    """Ten thousand headers, or one that is long: before the door, so nobody needs a token to try."""
    for head in (b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(10_000)), b"X: " + b"x" * 2**20 + b"\r\n"):
        with socket.create_connection(("127.0.0.1", client.address.port), timeout=60) as made:
            made.settimeout(60)
            try:
                made.sendall(b"GET / HTTP/1.1\r\n" + head)
                said = read_all(made)
            except ConnectionError:
                continue
        assert said.startswith(b"HTTP/1.1 400"), said[:200]
    assert 200 == client.ask("GET", "/").status


def test_a_body_has_a_bound_by_what_it_says(client: Client) -> None:
    """Nothing of it is read."""
    with client.socket("POST /body HTTP/1.1", f"Content-Length: {2**40}") as made:
        assert made.recv(4000).startswith(b"HTTP/1.1 413 ")


def test_a_body_has_a_bound_by_what_comes(client: Client) -> None:
    """Chunk by chunk, without having said how long it is; the answer can be read, although it was still sending."""
    with closing(client.connection()) as connection:
        blocks = (b"x" * 2**16 for _ in range(6 * 16))
        connection.request("POST", "/body", blocks, client.headers(), encode_chunked=True)
        answer = answer_of(connection.getresponse())
    assert (413, "More than 5242880 bytes are not taken.\n") == (answer.status, answer.text)
    assert (200, 2**20) == ((answer := client.ask("POST", "/body", b"x" * 2**20)).status, answer.json)


def test_who_is_not_let_in_can_read_why(client: Client) -> None:
    """Although more is being sent than a connection holds."""
    assert 401 == client.ask("POST", "/body", b"x" * 2**22, Authorization="").status


# -- events


def test_events_are_pushed(client: Client) -> None:
    """Those from before, those that come, with numbers; a stream that is opened again goes on behind its last."""
    TOPIC.publish("a", {"n": 1})
    with closing(client.connection()) as connection:
        connection.request("GET", "/events", headers=client.headers())
        response = connection.getresponse()
        assert "text/event-stream; charset=utf-8" == response.headers["content-type"]
        assert [b"event: a\n", b'data: {"n":1}\n', b"id: 1\n", b"\n"] == [response.readline() for _ in range(4)]
        TOPIC.publish("b", "two\nlines")
        assert [b"event: b\n", b'data: "two\\nlines"\n', b"id: 2\n", b"\n"] == [response.readline() for _ in range(4)]
    with closing(client.connection()) as connection:
        connection.request("GET", "/events", headers=client.headers(Last_Event_ID="1"))
        assert b"event: b\n" == connection.getresponse().readline()


def test_idle_streams_take_nothing_from_others(client: Client) -> None:
    """Two hundred of them."""
    sockets = [client.socket("GET /silence HTTP/1.1") for _ in range(200)]
    try:
        assert all([made.recv(12) == b"HTTP/1.1 200" for made in sockets])
        assert 200 == client.ask("GET", "/").status
    finally:
        for made in sockets:
            made.close()


def test_who_opens_connections_without_end_is_cut_off(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody on the machine may try: the process keeps open files for its work, and is there again afterwards."""
    monkeypatch.setattr(listening, "MOST_OPEN", 30)
    sockets = [socket.create_connection(("127.0.0.1", client.address.port), timeout=60) for _ in range(60)]
    for made in sockets[30:]:
        with suppress(ConnectionResetError):
            assert b"" == made.recv(1)
    for made in sockets:
        made.close()
    monkeypatch.undo()
    assert 200 == client.ask("GET", "/").status


# -- where it listens


def test_a_free_port_is_bound_at_once() -> None:
    """Before there is an app: nobody else gets it, and who connects waits."""
    with closing(Server()) as server:
        assert server.address.port > 0
        with socket.create_connection(("127.0.0.1", server.address.port)), pytest.raises(UserError) as refused:
            Server(port=server.address.port)
    assert f"port {server.address.port} of 127.0.0.1 is taken by another program" in str(refused.value)
    Server(port=server.address.port).close()


@pytest.mark.parametrize(
    ("host", "port", "why"),
    [
        ("127.0.0.1", 70000, "70000"),
        ("127.0.0.1", -1, "-1"),
        ("n" * 70, 0, "listen=nnn"),  # too long to be asked for
        ("192.0.2.1", 0, "this machine does not have this address"),
    ],
)
def test_where_one_cannot_listen_is_said(host: str, port: int, why: str) -> None:
    """The user's mistake, by name."""
    with pytest.raises(UserError, match=why):
        Server(host, port)


def test_each_start_has_its_token() -> None:
    """Also on the same port; it is not in what a program prints by accident."""
    with closing(Server()) as one, closing(Server()) as other:
        assert one.address.token != other.address.token
        assert one.address.token not in repr(one.address)


def test_addresses_can_be_typed() -> None:
    """IPv6 in brackets; for all addresses the name of the machine."""
    assert "http://[::1]:80/?token=t" == Address("::1", 80, "t").url
    assert f"http://{socket.gethostname()}:80" == Address("0.0.0.0", 80, "t").base
    assert socket.gethostname().lower() in hosts_of("0.0.0.0")


def test_more_than_loopback_is_warned_of() -> None:
    """And loopback is not."""
    assert [None] * 4 == [exposure(host) for host in ("127.0.0.1", "localhost", "::1", "127.0.0.9")]
    assert "listens on all addresses of this machine, beyond this machine" in (exposure("0.0.0.0") or "")
    assert "listens on 10.1.2.3" in (exposure("10.1.2.3") or "")


# -- the end


def test_streams_end_at_once_and_answers_have_their_time(tmp_path: Path) -> None:
    """A stream ends as one does that is over; what is being answered is answered; nobody new comes in."""
    topic, told = Topic(), threading.Event()
    app = little_app(topic, tmp_path)
    app.state.go = threading.Event()

    def ending() -> None:
        told.set()

    with serving(app, ending) as client:
        waiting, stream = client.socket("GET /wait HTTP/1.1"), client.socket("GET /events HTTP/1.1")
        while b"waits" not in stream.recv(4000):
            pass
        threading.Timer(0, lambda: (told.wait(60), read_all(stream), app.state.go.set())).start()
    assert b'"done"' in read_all(waiting)
    with pytest.raises(ConnectionRefusedError):
        client.ask("GET", "/")


PROGRAM = """
import sys, threading
sys.path.insert(0, "tests/support")
from little_app import little_app
from hpcurate.web.events import Topic
from hpcurate.web.server import Server
from pathlib import Path

topic = Topic()
app = little_app(topic, Path("."))
app.state.go = threading.Event()
server = Server()
print(server.address.url, flush=True)
server.run(app, grace_s=600, ending=lambda: print("ending", flush=True))
print("over", flush=True)
import os; os._exit(7)  # a thread of /wait is left
"""


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[None]:
    """However a test goes, its process does not stay."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(number: signal.Signals) -> None:
    """The first in order: an answer is waited for. The second at once. The caller still runs behind it."""
    command = [sys.executable, "-c", PROGRAM]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ending(process),
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        base, _, token = process.stdout.readline().strip().partition("/?token=")
        client = Client(Address("127.0.0.1", int(base.rpartition(":")[2]), token))
        stream, waiting = client.socket("GET /events HTTP/1.1"), client.socket("GET /wait HTTP/1.1")
        while b"waits" not in stream.recv(4000):
            pass
        os.kill(process.pid, number)
        read_all(stream)
        assert "ending\n" == process.stdout.readline()
        os.kill(process.pid, number)
        assert "over\n" == process.stdout.readline()
        assert (7, "") == (process.wait(60), process.stderr.read())
        waiting.close()
