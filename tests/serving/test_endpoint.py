"""The HTTP endpoint of a real service: one stage in a process of its own, asked as clients ask, and as nobody should."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from endpoint_stages import turning
from web_client import END, FORM, Client, part, read_all, serving

from hpcurate.serving.app import app_of, most_body

QUEUE = 3
JSON = "application/json"
NOBODY = "0" * 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the server."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Any]:
    """One worker; three requests may wait, with one MiB of files each."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(Path(__file__).parents[1] / "support"))
        patched.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"))
        with turning(folder, queue=QUEUE, upload_mb=1) as service:
            yield service


@pytest.fixture(scope="module")
def client(service: Any) -> Iterator[Client]:
    """Of its endpoint."""
    with serving(app_of(service), most_body=most_body(service.served.limits)) as client:
        yield client


def form(data: bytes = b"a clip", name: str = "a.mp4", **fields: str) -> dict[str, Any]:
    """A request with a file."""
    texts = (part(key, value.encode()) for key, value in fields.items())
    return {"body": part("file", data, name) + b"".join(texts) + END, "Content_Type": FORM}


def send(client: Client, data: bytes = b"a clip") -> str:
    """A request that is queued: its id."""
    answer = client.ask("POST", "/requests", **form(data))
    assert 202 == answer.status, answer.text
    return str(answer.json["id"])


def events(client: Client, request: str) -> list[str]:
    """Names of all events of a request, to its end."""
    lines = client.ask("GET", f"/requests/{request}/events").text.splitlines()
    return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    while not true():
        time.sleep(0.005)


def folders(folder: Path) -> set[str]:
    """Of requests."""
    return {path.name for path in (folder / "requests").iterdir()}


class Gate:
    """Keeps the worker busy with a request until it is opened."""

    def __init__(self, client: Client, service: Any, path: Path) -> None:
        self.path = path
        self.request = send(client, b"wait " + bytes(path))
        until(lambda: service.health()["working"] == 1 and service.health()["waiting"] == 0)


@pytest.fixture
def gate(client: Client, service: Any, tmp_path: Path) -> Iterator[Gate]:
    """A worker that is busy, and is not any more after the test."""
    made = Gate(client, service, tmp_path / "open")
    yield made
    made.path.touch()
    until(lambda: service.health()["working"] == service.health()["waiting"] == 0)


# -- as it is meant


def test_a_request_is_answered_with_its_result(client: Client) -> None:
    """Its tasks, its files by number, and how long it took; where anything lies is not in it."""
    answer = client.ask("POST", "/run", **form(b"abc", **{"turn.times": "2"}))
    assert 200 == answer.status, answer.text
    (task,), (clip, page) = answer.json["tasks"], answer.json["files"]
    assert {"file": 0, "name": "clip.mp4", "media": "video/mp4"} == task["clip"]
    assert ("a.mp4", "clip", 6) == (task["source"], clip["field"], clip["size"])
    assert (b"cbacba", "video/mp4") == ((got := client.ask("GET", clip["url"])).body, got.headers["content-type"])
    assert "/tmp" not in answer.text
    assert 1 == page["number"]


def test_a_request_is_followed(client: Client) -> None:
    """Queued, in work, what its stage prints, its result; anybody who comes later sees all of it."""
    request = send(client)
    assert ["queued", "working", "line", "result", "end"] == events(client, request)
    state = client.ask("GET", f"/requests/{request}").json
    assert ("done", request) == (state["state"], state["result"]["id"])


def test_a_video_is_sent_in_ranges_and_may_be_shown(client: Client) -> None:
    """Anything that could be a page is stored, and even then may run nothing."""
    files = client.ask("POST", "/run", **form(b"0123456789")).json["files"]
    some = client.ask("GET", files[0]["url"], Range="bytes=2-4")
    assert (206, b"765", "bytes 2-4/10") == (some.status, some.body, some.headers["content-range"])
    assert some.headers["content-disposition"].startswith("inline;")
    assert 416 == client.ask("GET", files[0]["url"], Range="bytes=99-").status
    page = client.ask("GET", files[1]["url"])
    assert page.headers["content-disposition"].startswith("attachment;")
    assert page.headers["content-security-policy"].startswith("sandbox;")


def test_the_first_page_leads_to_what_there_is(client: Client, service: Any) -> None:
    """Its own page says what may be given; a page that is mounted comes first."""
    first = client.ask("GET", "/")
    assert (307, "/docs") == (first.status, first.headers["location"])
    page = client.ask("GET", "/docs")
    assert "turn.times" in page.text
    assert f"127.0.0.1:{client.address.port}/run" in page.text
    assert {"/run", "/health"} <= client.ask("GET", "/openapi.json").json["paths"].keys()
    app = app_of(service)
    app.mount("/page", app_of(service))
    with serving(app) as other:
        assert "/page/" == other.ask("GET", "/").headers["location"]


def test_a_task_that_fails_and_a_process_that_dies_are_told_apart(client: Client) -> None:
    """By status, and with what happened; the next request is served."""
    failed = client.ask("POST", "/run", **form(b"fail too dark"))
    assert (422, "failed", "turn") == (failed.status, failed.json["kind"], failed.json["stage"])
    assert "too dark" in failed.json["message"]
    died = client.ask("POST", "/run", **form(b"die now"))
    assert (502, "crash") == (died.status, died.json["kind"])
    assert 200 == client.ask("POST", "/run", **form()).status


def test_twenty_clients_at_once_are_each_answered_with_their_own(client: Client) -> None:
    """Those for whom there is no room try again, as they are asked to."""

    def ask(number: int) -> bytes:
        while (answer := client.ask("POST", "/run", **form(b"clip %d" % number))).status == 429:
            assert answer.headers["retry-after"].isdigit()
            time.sleep(0.01)
        assert 200 == answer.status, (answer, number)
        return client.ask("GET", answer.json["files"][0]["url"]).body[::-1]

    with ThreadPoolExecutor(20) as pool:
        assert [b"clip %d" % n for n in range(20)] == list(pool.map(ask, range(20)))


# -- the queue


def test_who_waits_has_a_place_and_more_than_may_wait_are_refused(client: Client, gate: Gate) -> None:
    """The next one is asked to come later; who leaves makes room for it."""
    waiting = [send(client) for _ in range(QUEUE)]
    assert [1, 2, 3] == [client.ask("GET", f"/requests/{one}").json["place"] for one in waiting]
    refused = client.ask("POST", "/run", **form())
    assert (429, "10") == (refused.status, refused.headers["retry-after"])
    assert 204 == client.ask("DELETE", f"/requests/{waiting[0]}").status
    assert [1, 2] == [client.ask("GET", f"/requests/{one}").json["place"] for one in waiting[1:]]
    assert ["queued", "cancelled", "end"] == events(client, waiting[0])
    assert 202 == client.ask("POST", "/requests", **form()).status


def test_what_is_in_work_is_cancelled(client: Client, gate: Gate) -> None:
    """Once: what has ended cannot be."""
    assert 204 == client.ask("DELETE", f"/requests/{gate.request}").status
    assert "cancelled" in events(client, gate.request)
    assert "cancelled" == client.ask("GET", f"/requests/{gate.request}").json["state"]
    assert 409 == client.ask("DELETE", f"/requests/{gate.request}").status


def test_who_leaves_takes_the_request_back(client: Client, service: Any, gate: Gate, folder: Path) -> None:
    """Waiting or in work; nothing of it stays."""
    before = folders(folder)
    body = form()["body"]
    made = client.socket("POST /run HTTP/1.1", f"Content-Type: {FORM}", f"Content-Length: {len(body)}", body=body)
    until(lambda: service.health()["waiting"] == 1)
    made.close()
    until(lambda: service.health()["waiting"] == 0)
    until(lambda: folders(folder) <= before)


def test_a_request_that_another_cancels_is_answered_so(client: Client, service: Any, gate: Gate) -> None:
    """Whoever waits for it hears of it."""
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(client.ask, "POST", "/run", **form())
        until(lambda: service.health()["waiting"] == 1)
        (request,) = [name for name, one in service._known.items() if one.until is None and name != gate.request]
        assert 204 == client.ask("DELETE", f"/requests/{request}").status
        assert (409, "this request was cancelled") == ((answer := waits.result()).status, answer.json["problem"])


# -- what is refused


@pytest.mark.parametrize(
    ("asked", "problems"),
    [
        (form(name="a.exe"), {"file": ".mp4"}),
        (form(name="a.mp4\\..\\x"), {"file": ".mp4"}),
        ({"body": part("file", b"/etc/passwd") + END, "Content_Type": FORM}, {"file": "needs a file that is uploaded"}),
        ({"body": part("file", b"file:///etc/passwd") + END, "Content_Type": FORM}, {"file": "needs a file"}),
        ({"body": b"file=http://127.0.0.1/x.mp4", "Content_Type": "application/x-www-form-urlencoded"}, {"file": "needs a file"}),
        ({"body": b'{"inputs": {"file": "http://10.0.0.1/"}}', "Content_Type": JSON}, {"file": "needs a file"}),
        ({"body": b'{"inputs": {"file": {"path": "/etc/passwd"}}}', "Content_Type": JSON}, {"file": "needs a file"}),
        ({"body": b'{"inputs": {"path": "/etc/passwd"}}', "Content_Type": JSON}, {"path": "there is no such field"}),
        ({"body": b'{"files": {}}', "Content_Type": JSON}, {"body": "expected"}),
        ({"body": b"{", "Content_Type": JSON}, {"body": "expected"}),
        (form(**{"turn.times": "many"}), {"turn.times": "expected a whole number"}),
        (form(**{"turn.time": "1"}), {"turn.time": "there is no such"}),
        (form(**{"": "1"}), {"": "there is no such"}),
        ({"body": part("other", b"x", "x.mp4") + END, "Content_Type": FORM}, {"other": "there is no such field"}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_field(
    client: Client, folder: Path, asked: dict[str, Any], problems: dict[str, str]
) -> None:
    """Before any worker sees it; a file is what is uploaded with the request, and nothing else is one."""
    before = folders(folder)
    for path in ("/run", "/requests"):
        answer = client.ask("POST", path, **asked)
        assert 422 == answer.status, answer.text
        for field, text in problems.items():
            assert text in answer.json["problems"][field]
    assert folders(folder) <= before


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (413, form(b"x" * 2**20 * 10)),
        (415, {"body": b"a clip", "Content_Type": "video/mp4"}),
        (415, {"body": b"{}", "Content_Type": "text/plain"}),
        (415, {}),
        (400, {"body": part("file", b"x", "a.mp4"), "Content_Type": FORM}),
        (413, {"body": b" " * 2**20 * 9, "Content_Type": JSON}),
    ],
)
def test_what_is_no_request_is_refused(client: Client, folder: Path, status: int, asked: dict[str, Any]) -> None:
    """And leaves nothing."""
    before = folders(folder)
    answer = client.ask("POST", "/run", **asked)
    assert status == answer.status
    assert folders(folder) <= before


@pytest.mark.parametrize(
    "path",
    [
        f"/requests/{NOBODY}", f"/requests/{NOBODY}/events", f"/requests/{NOBODY}/files/0", "/requests/x",
        "/requests/..%2f..%2fetc%2fpasswd", "/requests/%2fetc%2fpasswd", "/requests/../health", "/requests/..%5c..",
        "/requests/ID/files/-1", "/requests/ID/files/2", "/requests/ID/files/9999999999999999999999", "/requests/ID/files/1e0",
        "/requests/ID/files/0%00", "/requests/ID/files/..%2f..%2fserved.json", "/requests/ID/files/%2fetc%2fpasswd",
        "/requests/ID%00/files/0", "/requests/ID%0a/files/0", "/requests/%F0%9F%8E%9E", "/requests/ID/files/", "/requests/ID/0.mp4",
        "/requests/UPPER/files/0", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/x", "/docs/../../x", "/redoc",
    ],
)  # fmt: skip
def test_nothing_but_results_is_there(client: Client, done: str, path: str) -> None:
    """No folder, no upload, no other place, however it is written."""
    path = path.replace("ID", done).replace("UPPER", done.upper() if done.upper() != done else "A" * 32)
    assert 404 == client.ask("GET", path).status


@pytest.fixture(scope="module")
def done(client: Client) -> str:
    """A request that has a result."""
    return str(client.ask("POST", "/run", **form()).json["id"])


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/run"), ("GET", "/run"), ("DELETE", "/health"), ("POST", "/"), ("PATCH", "/requests")]
)
def test_no_other_methods(client: Client, method: str, path: str) -> None:
    """Of any path."""
    assert 405 == client.ask(method, path).status


@pytest.mark.parametrize(
    "path", ["/run", "/requests", "/health", "/docs", "/openapi.json", f"/requests/{NOBODY}/files/0"]
)
def test_without_the_token_nothing_is_there(client: Client, path: str) -> None:
    """Also no description of what would be."""
    assert {401} == {client.ask(method, path, Authorization="").status for method in ("GET", "POST", "DELETE")}


def test_uploads_at_once_are_bounded(client: Client, folder: Path) -> None:
    """Each may take the room of a whole request: no more begin than may wait and be in work."""
    before = folders(folder)
    head = "POST /run HTTP/1.1", f"Content-Type: {FORM}", "Content-Length: 90000"
    begun = [client.socket(*head, body=part("file", b"x", "a.mp4")) for _ in range(QUEUE + 1)]
    until(lambda: len(folders(folder) - before) == QUEUE + 1)
    assert 429 == client.ask("POST", "/run", **form()).status
    for made in begun:
        made.close()
    until(lambda: folders(folder) <= before)
    assert 200 == client.ask("POST", "/run", **form()).status


# -- the end


def test_whoever_waits_hears_that_the_server_ends(tmp_path: Path, service: Any) -> None:
    """A request in work is given up after its time, one that waits at once; streams end; a new one is refused."""
    with turning(tmp_path, queue=QUEUE) as own, ThreadPoolExecutor(2) as pool:
        with serving(app_of(own), ending=lambda: own.close(0)) as client:
            working = pool.submit(client.ask, "POST", "/run", **form(b"wait " + bytes(tmp_path / "never")))
            until(lambda: own.health()["working"] == 1)
            waiting = pool.submit(client.ask, "POST", "/run", **form())
            until(lambda: own.health()["waiting"] == 1)
            stream = client.socket(f"GET /requests/{send(client)}/events HTTP/1.1")
            while b"queued" not in stream.recv(4000):
                pass
        said = [waits.result() for waits in (working, waiting)]
        assert [(503, "ending")] * 2 == [(one.status, one.json["kind"]) for one in said]
        read_all(stream)
