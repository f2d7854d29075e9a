"""`hpcurate report --serve` in a real browser, while a real run goes on: what is new comes, what was chosen stays."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Visit, chromium
from PIL import Image
from shell import Shell

pytestmark = pytest.mark.video

STAGES = """
import time
from pathlib import Path

import attrs
from PIL import Image

from hpcurate import FileTask, Stage


@attrs.define(kw_only=True)
class Looked(FileTask):
    grey: float | None = None


class Look(Stage[FileTask, Looked]):
    def __init__(self, go: str) -> None:
        self.go = go

    def process(self, tasks):
        return [self.look(task) for task in tasks]

    def look(self, task):
        while int(Path(self.go).read_text()) <= int(task.source[:2]):
            time.sleep(0.02)
        with Image.open(task.path) as image:
            return Looked(**attrs.asdict(task), grey=float(image.getpixel((0, 0))))
"""
PIPELINE = """# @package _global_
name: slow
source: {_target_: hpcurate.source.Files, path: '${input}'}
stages:
  look: {_target_: stages.slow.Look, go: '${input}/../go', shard_tasks: 1, workers: 1}
"""
COUNT = 8
WAIT_MS = 60_000
BROKEN = 0
"""Number of the one that is no image."""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """One in which a run of eight images has begun; it goes on as far as the file `go` says."""
    shell = Shell(tmp_path)
    files = tmp_path / "in"
    files.mkdir()
    for number in range(COUNT):
        Image.new("L", (32, 18), number * 20).save(files / f"{number:02}.png")
    (files / f"{BROKEN:02}.png").write_bytes(b"no image")
    for name, text in (("stages/slow.py", STAGES), ("conf/pipeline/slow.yaml", PIPELINE)):
        (shell.cwd / name).parent.mkdir(parents=True, exist_ok=True)
        (shell.cwd / name).write_text(text)
    go(shell, 3)
    shell.run("+pipeline=slow", f"input={files}", "budget.failed=9", "wait=false")
    yield shell
    go(shell, COUNT)


def go(shell: Shell, count: int) -> None:
    """So many images may be looked at."""
    new = shell.folder / "new"
    new.write_text(str(count))
    new.rename(shell.folder / "go")


def test_a_run_goes_on_while_somebody_looks(shell: Shell) -> None:
    """Cards come; filter, order, an open traceback, the theme and the place on the screen stay; the end is said."""
    from playwright.sync_api import expect

    with shell.serving("report", "--serve", "--store", str(shell.store)) as (line, process), chromium() as browser:
        url = line.split()[-1]
        visit = Visit.of(browser, url, color_scheme="light")
        page = visit.page
        expect(page.locator(".card")).to_have_count(3, timeout=WAIT_MS)
        assert page.locator("#live").inner_text().startswith("live")
        choose(page)
        before = where(page)
        go(shell, 5)
        expect(page.locator(".card")).to_have_count(5, timeout=WAIT_MS)
        assert CHOSEN == chosen(page)
        assert abs(before - where(page)) <= 1
        label = page.locator(".card .label").first.inner_text()
        page.locator(".card").first.click()
        go(shell, COUNT)
        expect(page.locator("#live")).to_have_text("complete", timeout=WAIT_MS)
        assert page.get_by_role("dialog").is_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".card")).to_have_count(COUNT, timeout=WAIT_MS)
        assert CHOSEN == chosen(page)
        assert "complete" == page.locator(".badge").inner_text()
        assert label == page.evaluate("document.activeElement.querySelector('.label').textContent")
        own = rf"asked for {re.escape(url.partition('?')[0])}(events)?"
        assert [] == [line for line in visit.wrong if not re.fullmatch(own, line)]
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(20)
        expect(page.locator("#live")).to_contain_text("not live", timeout=WAIT_MS)


def choose(page: Any) -> None:
    """What a person does with the page."""
    page.get_by_role("button", name="light and dark").click()
    page.get_by_label("Find").fill("png")
    page.locator("#sort").select_option(label="name")
    page.locator("#order").click()
    page.get_by_text("Traceback", exact=True).click()
    page.locator("#time").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('failures').scrollIntoView()")


def chosen(page: Any) -> dict[str, Any]:
    """What holds of it."""
    labels = page.locator(".card .label").all_inner_texts()
    return {
        "theme": page.evaluate("document.documentElement.dataset.theme"),
        "find": page.get_by_label("Find").input_value(),
        "sort": page.locator("#sort").evaluate("select => select.selectedOptions[0].textContent"),
        "order": page.locator("#order").inner_text(),
        "sorted": labels == sorted(labels, reverse=True),
        "open": page.locator("details[open]").count(),
    }


CHOSEN = {"theme": "dark", "find": "png", "sort": "name", "order": "ascending", "sorted": True, "open": 1}


def where(page: Any) -> float:
    """Where on the screen the part that is read begins."""
    return float(page.evaluate("document.getElementById('failures').getBoundingClientRect().top"))
