"""The page of a service in a real browser, over real stage processes; and what it is asked for by nobody's browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from browser import Visit, chromium
from serving import Asking, serving
from web_client import END, FORM, Client, part
from web_client import serving as listening

from hpcurate.serving.app import app_of
from hpcurate.serving.page import mount_page

PIPELINE = """\
# @package _global_
name: looks
source: {_target_: hpcurate.source.Files, path: "${input}", extensions: [mp4, png]}
stages:
  look: {_target_: page_stages.Look}
"""
API = "/page/gradio_api"
MOST = 4
"""Uploads that are kept: of requests that wait, and in work."""
GRADIO_SAYS = "warning: Method not implemented."
"""Its file component, of nothing that we use."""


@attrs.frozen
class Page:
    """A service with its page, and a browser."""

    asking: Asking
    client: Client
    browser: Any

    def open(self, **options: Any) -> Open:
        """It, in a browser of its own."""
        visit = Visit.of(self.browser, "about:blank", **options)
        page = visit.page
        page.on("request", lambda request: asked.append(request.url))
        asked: list[str] = []
        page.goto(f"{self.client.address.base}/page/?token={self.client.address.token}")
        page.get_by_role("button", name="Run").wait_for()
        return Open(page, visit.wrong, asked)


@attrs.frozen
class Open:
    """The page, open."""

    page: Any
    noted: list[str]
    asked: list[str]

    @property
    def wrong(self) -> list[str]:
        """What the console says."""
        return [each for each in self.noted if not each.startswith("asked for ") and each != GRADIO_SAYS]

    def choose(self, file: Path) -> None:
        """Upload one."""
        with self.page.expect_response("**/upload?*"):
            self.page.locator("input[type=file]").set_input_files(str(file))

    def set(self, label: str, value: object) -> None:
        """Type into a field."""
        self.page.get_by_label(label, exact=True).fill(str(value))

    def pick(self, label: str, value: str) -> None:
        """Of a list."""
        self.page.get_by_label(label, exact=True).click()
        self.page.get_by_role("option", name=value).click()

    def run(self) -> None:
        """The button."""
        self.page.get_by_role("button", name="Run").click()

    def sees(self, text: str) -> None:
        """Wait until it is there."""
        self.page.get_by_text(text).first.wait_for()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One worker, one browser, for all tests of this file; files of up to 1 MB."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "conf" / "pipeline").mkdir(parents=True)
    (folder / "conf" / "pipeline" / "looks.yaml").write_text(PIPELINE)
    with (
        serving(folder, "+pipeline=looks", upload="1MB", queue=3) as asking,
        listening(mount_page(app_of(asking.service), asking.service), most_body=2**23) as client,
        chromium() as browser,
    ):
        yield Page(asking, client, browser)


@pytest.fixture(scope="module")
def page(served: Page) -> Open:
    """Open, for all tests of this file."""
    return served.open()


@pytest.fixture
def opened(page: Open, served: Page) -> Iterator[Open]:
    """The page; after each test nothing has gone wrong, and nobody else was asked."""
    yield page
    assert [] == page.wrong
    base = served.client.address.base
    assert [] == [url for url in page.asked if not url.startswith((f"{base}/page/", f"{base}/requests/", "blob:"))]
    assert page.page.evaluate("window.hacked === undefined")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """To upload."""
    from page_stages import png

    path = tmp_path_factory.mktemp("pictures") / "the <b>picture.png"
    path.write_bytes(png(4, 3))
    return path


def test_what_is_not_right_is_said_beside_its_field(opened: Open, served: Page) -> None:
    """No worker is asked: neither for what the page cannot read, nor for what the service refuses."""
    opened.page.locator(".cm-content").fill("{no")
    opened.run()
    opened.sees("Not sent: 1 value")
    assert "this is not JSON" in opened.page.locator(".wrong:visible").inner_text()
    opened.page.locator(".cm-content").fill("")
    opened.run()
    opened.sees("needs a file")
    assert 1 == opened.page.locator(".wrong:visible").count()
    assert 0 == served.asking.service.health()["answered"]


def test_a_file_is_looked_at(opened: Open, served: Page, picture: Path) -> None:
    """From the upload over the lines that are printed to the result; nothing that a stage writes is markup."""
    opened.choose(picture)
    preview = opened.page.locator("figure.preview img")
    preview.wait_for()
    assert 4 == preview.evaluate("async (image) => { await image.decode(); return image.naturalWidth }")
    opened.set("level", 7)
    opened.run()
    opened.page.locator(".wrong:visible", has_text="expected from 0 to 1").wait_for()
    assert 0 == served.asking.service.health()["answered"]
    opened.set("level", 0.25)
    opened.run()
    opened.sees("Done in")
    assert 0 == opened.page.locator(".wrong:visible").count()
    assert "line 2 of the <b>picture.png" in opened.page.locator("#log textarea").input_value()
    result = opened.page.locator(".result")
    assert "onerror" in result.locator(".text").inner_text()
    shown = result.locator("figure img")
    assert 16 == shown.evaluate("async (image) => { await image.decode(); return image.naturalWidth }")
    assert ["page.html", "seen.png"] == sorted(result.locator(".files a").all_inner_texts())
    with opened.page.expect_download() as download:
        result.locator(".files").get_by_text("page.html").click()
    assert "onerror" in Path(download.value.path()).read_text()
    assert "0.25" in result.locator("table").inner_text()


def test_a_task_that_fails_leaves_the_page_as_it_is(opened: Open) -> None:
    """Message and traceback; the same file again, dropped; and again, looked at."""
    opened.pick("act", "fail")
    opened.run()
    opened.sees("The task failed")
    assert "is no file" in opened.page.locator(".state.failed pre").first.inner_text()
    opened.page.get_by_text("Traceback").first.click()
    opened.pick("act", "drop")
    opened.run()
    opened.sees("No task is left of it.")
    opened.sees("too dark")
    opened.pick("act", "look")
    opened.run()
    opened.page.locator(".result figure img").wait_for()


def test_who_cancels_or_leaves_lets_the_next_one_through(opened: Open, served: Page, picture: Path) -> None:
    """One waits for the other, on a phone in the dark: it is cancelled by the button, and by closing the page."""
    other = served.open(width=375, color_scheme="dark")
    assert 375 == other.page.evaluate("document.documentElement.scrollWidth")
    assert "rgb(15, 15, 17)" == other.page.evaluate("getComputedStyle(document.body).backgroundColor")
    other.choose(picture)
    opened.pick("act", "stay")
    opened.run()
    opened.sees("look is at work")
    other.run()
    other.sees("It is next.")
    opened.page.get_by_role("button", name="Cancel").click()
    opened.sees("Cancelled.")
    other.page.locator(".result").wait_for()
    other.pick("act", "stay")
    other.run()
    other.sees("look is at work")
    opened.pick("act", "look")
    opened.run()
    opened.sees("It is next.")
    other.page.close()
    opened.page.locator(".result").wait_for()


def test_a_file_that_is_too_large(opened: Open, tmp_path: Path) -> None:
    """Is refused in the browser; see below for who does not ask it."""
    large = tmp_path / "large.png"
    large.write_bytes(bytes(3 * 2**20))
    opened.page.locator("#field-file").get_by_label("Clear").click()
    opened.page.locator("input[type=file]").set_input_files(str(large))
    opened.sees("maximum allowed size")


# -- what nobody's browser asks for -----------------------------------------------------------------------


def join(client: Client, value: object, session: str = "hostile") -> int:
    """The status of a call of Run with this as its file."""
    values = [value, "look", 0.5, 3, "", "small"]
    body = {"data": values, "fn_index": function_of(client), "session_hash": session, "event_data": None}
    return client.ask("POST", f"{API}/queue/join", json.dumps(body).encode(), Content_Type="application/json").status


def function_of(client: Client) -> int:
    """The number of Run, as the page has it."""
    text = client.ask("GET", "/page/").text
    config = json.loads(text.partition("window.gradio_config = ")[2].partition(";</script>")[0])
    (number,) = [each["id"] for each in config["dependencies"] if len(each["inputs"]) > 1]
    return int(number)


def upload(client: Client, data: bytes, name: str = "../../a.png", **headers: str) -> Any:
    """The answer to one."""
    body = part("files", data, name) + END
    return client.ask("POST", f"{API}/upload?upload_id=abc", body, Content_Type=FORM, **headers)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "http://127.0.0.1:1/",
        "https://files.invalid/a.png",
        "file:///etc/passwd",
        "../x",
    ],
)
def test_no_file_of_the_server_and_no_address_is_taken(served: Page, path: str) -> None:
    """Gradio, mounted as it is, would copy the one and fetch the other."""
    record = {"path": path, "url": path, "meta": {"_type": "gradio.FileData"}}
    assert 403 == join(served.client, record)
    assert 400 == join(served.client, {"value": record})
    assert 400 == join(served.client, [record])
    assert 404 == served.client.ask("GET", f"{API}/file={path}").status
    assert 404 == served.client.ask("GET", f"{API}/proxy={path}").status


def test_an_upload_belongs_to_the_page_that_has_used_it(served: Page) -> None:
    """Its name is random, not that of its sender, and no path."""
    answer = upload(served.client, b"abc")
    (name,) = answer.json
    assert name.endswith(".png")
    assert 36 == len(name)
    assert b"abc" == served.client.ask("GET", f"{API}/file={name}").body
    other = served.client.ask("GET", f"{API}/file={name}")
    assert "sandbox" in other.headers["content-security-policy"]
    assert 200 == join(served.client, {"path": name}, "mine")
    assert 403 == join(served.client, {"path": name}, "yours")
    assert 200 == join(served.client, {"path": name}, "mine")


def test_uploads_are_removed(served: Page) -> None:
    """The oldest where there are more than requests; and those of a page that is left."""
    names = [upload(served.client, b"abc").json[0] for _ in range(MOST + 1)]
    assert [404, 200] == [served.client.ask("GET", f"{API}/file={names[n]}").status for n in (0, 1)]
    assert 200 == join(served.client, {"path": names[1]}, "leaver")
    with served.client.socket(f"GET {API}/heartbeat/leaver HTTP/1.1") as heart:
        heart.recv(1000)
    for _ in range(500):
        if served.client.ask("GET", f"{API}/file={names[1]}").status == 404:
            break
        time.sleep(0.02)
    assert [404, 200] == [served.client.ask("GET", f"{API}/file={names[n]}").status for n in (1, 2)]


def test_uploads_are_bounded(served: Page) -> None:
    """In size; and only what browsers show is shown by one."""
    assert 413 == upload(served.client, bytes(3 * 2**20)).status
    assert 400 == served.client.ask("POST", f"{API}/upload", END, Content_Type=FORM).status
    assert 415 == served.client.ask("POST", f"{API}/upload", b"{}", Content_Type="application/json").status
    (name,) = upload(served.client, b"<script>alert(1)</script>", "a.html").json
    answer = served.client.ask("GET", f"{API}/file={name}")
    assert "application/octet-stream" == answer.headers["content-type"]
    assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "place",
    [
        "/config", "/monitoring", "/login", "/static/img/logo.svg", "/assets/%2e%2e/%2e%2e/routes.py", "/manifest.json",
        *(f"/gradio_api/{name}" for name in (
            "info", "openapi.json", "call/run", "run/run", "dev/reload", "runs", "run-history/buckets", "deep_link",
            "component_server", "process_recording", "vibe-code", "vibe-edit", "stream/1", "mcp/sse", "startup-events",
            "queue/status", "app_id", "file%2fetc%2fpasswd", "file=%2e%2e%2fa", "heartbeat/..%2fa", "cancel", "reset",
        )),
    ],
)  # fmt: skip
def test_the_rest_of_gradio_is_not_there(served: Page, place: str) -> None:
    """With its token."""
    assert 404 == served.client.ask("GET", f"/page{place}").status
    assert 404 == served.client.ask("POST", f"/page{place}", b"{}", Content_Type="application/json").status


def test_it_needs_the_token_and_our_host(served: Page) -> None:
    """Like everything behind the door; and no header changes the addresses in the page."""
    assert 401 == served.client.ask("GET", "/page/", Authorization="").status
    assert 401 == served.client.ask("POST", f"{API}/queue/join", b"{}", Authorization="").status
    assert 421 == served.client.ask("GET", "/page/", Host="evil.example").status
    page = served.client.ask("GET", "/page/", X_Forwarded_Host="evil.example", Forwarded="host=evil.example")
    assert "evil.example" not in page.text
    assert "'nonce-" in page.headers["content-security-policy"]
    assert (
        page.headers["content-security-policy"] != served.client.ask("GET", "/page/").headers["content-security-policy"]
    )
