"""`hpcurate form` in a real browser: filled in, tried, started, watched to the end, and its report opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from form_server import SECRET, FormServer, form_server, write_project
from shell import Shell

pytestmark = pytest.mark.video


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A project with a pipeline that asks for all kinds of values."""
    made = Shell(tmp_path_factory.mktemp("form"))
    write_project(made.cwd)
    return made


@pytest.fixture(scope="module")
def server(shell: Shell) -> Iterator[FormServer]:
    """Its form."""
    with form_server(shell, "tell", f"store={shell.store}", "launcher=local", "--secrets", "my-secrets") as served:
        yield served


@pytest.fixture
def page(server: FormServer) -> Iterator[Any]:
    """As somebody opens it with the address that was printed; at the end nothing has gone wrong."""
    with chromium() as browser:
        context = browser.new_context(color_scheme="dark")
        page, wrong = context.new_page(), []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if "422" not in message.text else None)
        page.on(
            "request", lambda one: wrong.append(one.url) if not one.url.startswith((server.base, "data:")) else None
        )
        page.goto(server.url)
        yield page
        assert [] == wrong


def test_a_run_from_the_empty_form_to_its_report(shell: Shell, server: FormServer, page: Any, tmp_path: Path) -> None:
    """What is wrong stands at its field; Start is there after a dry run, and gone when a value has changed since."""
    assert (f"{server.base}/", 0) == (page.url, page.locator("#start").count())
    assert ["HF_TOKEN", "MY_OTHER", "UNUSED"] == page.locator("#f-params-hf_token option").all_inner_texts()[1:]
    assert not page.get_by_text("stages.tell.behind").first.is_visible()
    text = "\nfirst, <b>'two'</b>\n${params.size}"
    page.get_by_label("params.text").fill(text)
    page.get_by_role("button", name="Dry run").click()
    assert "it is needed" in page.locator("#f-params-hf_token-help").inner_text()
    assert text == page.get_by_label("params.text").input_value(), "what was typed is still there"
    page.get_by_label("params.hf_token").select_option("HF_TOKEN")
    page.get_by_label("env.OTHER_KEY").select_option("MY_OTHER")
    page.get_by_label("params.size").select_option("large")
    page.get_by_label("params.wait_s").fill("1")
    page.get_by_text("stages.tell", exact=False).first.click()
    page.get_by_role("button", name="Dry run").click()
    assert "nothing was written or submitted" in page.locator(".plan").inner_text()
    assert "params.size=large" in page.locator("#command").inner_text()
    page.wait_for_load_state()
    page.get_by_label("limit").fill("1")
    assert not page.locator("#start").is_visible()
    page.get_by_role("button", name="Dry run").click()
    page.locator("#start").dblclick()
    page.wait_for_selector("#report", timeout=60_000)
    page.wait_for_selector("#state.complete", timeout=60_000)
    assert 1 == len(list((shell.folder / "state").rglob("form/*.json")))
    assert "100%" in page.locator("tbody tr").inner_text()
    page.wait_for_selector("#cancel", state="detached", timeout=60_000)
    (row,) = shell.rows("tell")
    assert text == json.loads(json.loads(row)["prompt"])[0]
    with page.context.expect_page() as opened:
        page.locator("#report").click()
    opened.value.wait_for_load_state()
    assert "tell" in opened.value.locator("h1").inner_text()
    assert SECRET not in page.content() + opened.value.content()
