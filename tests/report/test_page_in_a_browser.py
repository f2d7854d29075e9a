"""`hpcurate report`: the page in a real browser. Nothing else shows that it works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from browser import Visit, chromium
from pictured import DROPPED, KEPT, SECRET, pictured_run
from shell import Shell

from hpcurate.report.hours import Hours, Prices, StageHours
from hpcurate.report.page.model import Options, page_of
from hpcurate.report.page.render import render
from hpcurate.report.run_view import RunView
from hpcurate.runs.folder import find_run
from hpcurate.runs.state import StageGpu
from hpcurate.store.layout import Store
from hpcurate.store.stats import LeftOut

pytestmark = pytest.mark.video


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """One run for all tests of this file."""
    return pictured_run(tmp_path_factory.mktemp("pictured"))


@pytest.fixture(scope="module")
def page(shell: Shell) -> Path:
    """The page of the run, as the verb writes it."""
    (path,) = [line.split("  (")[0] for line in shell.type("report").stdout.splitlines()]
    assert path.endswith("/report.html")
    return Path(path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for all tests of this file."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def opened(browser: Any, page: Path) -> Visit:
    """The page from a file, in a light theme."""
    return Visit.of(browser, page.as_uri(), color_scheme="light")


@pytest.fixture
def visit(opened: Visit) -> Iterator[Visit]:
    """As it is when it was just opened; after each test nothing has gone wrong, and nothing was asked for."""
    opened.page.evaluate("document.getElementById('tools').reset()")
    opened.page.locator("#fates button").first.click()
    yield opened
    assert [] == opened.wrong


def test_the_pipeline_and_the_items_are_seen(visit: Visit) -> None:
    """The graph with its counts, and a card with a picture for whatever is there."""
    graph = visit.page.locator(".dag:visible")
    assert 1 == graph.count()
    assert ["input", "look", "bright"] == [text.split("\n")[0] for text in graph.locator(".name").all_text_contents()]
    assert f"{KEPT + DROPPED} → {KEPT}" in graph.locator(".line").all_text_contents()
    assert KEPT + DROPPED + 1 == visit.page.locator(".card:visible").count()
    strips = visit.page.locator(".strip").evaluate_all(
        "all => Promise.all(all.map(async (one) => { const image = new Image();"
        " image.src = getComputedStyle(one).backgroundImage.slice(5, -2); await image.decode(); return image.width }))"
    )
    assert [64] * (KEPT + DROPPED) == strips


def test_items_are_filtered(visit: Visit) -> None:
    """By what became of them, by the reason, by words and by measures."""
    visit.page.get_by_role("button", name="Dropped").click()
    assert DROPPED == visit.page.locator(".card").count()
    visit.page.get_by_role("button", name="All").click()
    visit.page.get_by_label("Find").fill("brightness>=150 png")
    assert 6 == visit.page.locator(".card").count()
    assert "Showing 6 of 6" == visit.page.locator("#count").inner_text()
    visit.page.get_by_label("Find").fill("")
    visit.page.get_by_label("Reason").select_option(label="bright: too <b>dark</b>")
    assert DROPPED == visit.page.locator(".card").count()


def test_items_are_sorted(visit: Visit) -> None:
    """By any measure, either way; what has none comes last. As a table, too."""
    visit.page.locator("#sort").select_option(label="brightness")
    assert ["brightness 200", "brightness 190"] == visit.texts(".card .values span:first-child")[:2]
    assert "broken.png" in visit.texts(".card")[-1]
    visit.page.locator("#order").click()
    assert ["brightness 0", "brightness 10"] == visit.texts(".card .values span:first-child")[:2]
    visit.page.locator("#view").click()
    assert "brightness" in visit.texts("th")
    assert ["ascending"] == [e.get_attribute("aria-sort") for e in visit.page.locator("th[aria-sort]").all()]
    visit.page.locator("#view").click()
    visit.page.locator("#order").click()


def test_names_are_text(visit: Visit, page: Path) -> None:
    """No name or caption is markup or script; what could not be seen is written out; no secret is there."""
    labels = "\n".join(visit.texts(".card .label"))
    assert "<script>window.hacked = 1<_script>.png" in labels
    assert all(name in labels for name in ("new\\nline.png", "\\xff.png", "turned\\u202egnp.png"))
    assert "</script><script>" in visit.texts(".card .text")[0]
    assert visit.page.evaluate("window.hacked === undefined")
    assert 0 == visit.page.locator("main b:text-is('dark')").count()
    assert SECRET not in page.read_text()
    assert "***MY_TOKEN***" in visit.texts(".card .text")[0]


def test_one_item_is_opened_with_the_keyboard(visit: Visit) -> None:
    """All values and texts of it, and Escape closes it."""
    visit.page.locator(".card").first.press("Enter")
    assert "brightness" in visit.page.get_by_role("dialog").inner_text()
    visit.page.keyboard.press("Escape")
    assert 0 == visit.page.get_by_role("dialog").count()


def test_measures_have_their_threshold(visit: Visit) -> None:
    """The histogram of what the filter asks for comes first, with what it dropped."""
    first = visit.page.locator(".measure").first
    assert ["brightness", "bright", "≥ 60"] == [first.locator(s).inner_text() for s in ("b", ".soft >> nth=0", "em")]
    assert f"{DROPPED} of {KEPT + DROPPED} dropped here" in first.inner_text()


def test_time_and_results_are_seen(visit: Visit) -> None:
    """A lane for each worker, what each stage needed, and what it logged: number, curve, table and figure."""
    assert ["look", "bright"] == visit.texts(".team .who b")
    assert 2 == visit.page.locator(".lanes g path.kept").count()
    assert ["look", "bright"] == visit.texts(".needs tbody th")
    assert "busy" in visit.texts(".needs tbody tr")[0]
    results = visit.page.locator("#results")
    assert all(text in results.inner_text() for text in ("squares", "brightness so far", "<b>name</b>", "00.png"))
    assert results.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)")


def test_light_and_dark(browser: Any, page: Path) -> None:
    """As the system has it; as the user chooses, also after a reload."""
    visit = Visit.of(browser, page.as_uri(), color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = visit.page.evaluate(colour)
    visit.page.get_by_role("button", name="light and dark").click()
    light = visit.page.evaluate(colour)
    assert dark != light
    after = ""
    for _ in range(50):  # what a page stores is there for the next one a moment later: browsers write it beside
        visit.page.reload()
        if (after := visit.page.evaluate(colour)) == light:
            break
    assert light == after
    assert [] == visit.wrong


def test_on_a_phone(browser: Any, page: Path) -> None:
    """Nothing is wider than the screen."""
    visit = Visit.of(browser, page.as_uri(), width=375)
    assert 375 == visit.page.evaluate("document.documentElement.scrollWidth")
    assert 1 == visit.page.locator(".dag:visible").count()
    assert [] == visit.wrong


def test_a_page_with_all_that_this_run_has_not(shell: Shell, browser: Any, tmp_path: Path) -> None:
    """GPUs, prices, samples, left-out spans, a stage that has not begun, a gap in time; without pictures or items."""
    whole = page_of(RunView(find_run(Store(str(shell.store)), None)), Options(items=0, prices=Prices(gpu_hour=2.0)))
    assert ((), {}) == (whole.items, whole.pictures)
    look, bright = whole.stages
    report = msgspec.structs.replace(
        look.report, gpu=StageGpu(busy=0.5, memory_mb=900.0), amounts_in={"seconds": 90.0}, amounts_out={"seconds": 60.0},
        left_out={"too <i>short</i>": LeftOut(3, {"seconds": 30.0})},
    )  # fmt: skip
    hours = StageHours(run="r", stage="look", gpu=Hours(given=3.0), cpu=Hours(given=4.0, busy=3.0, idle=1.0))
    open_end = msgspec.structs.replace(bright.report, shards=None, shards_done=0, tasks_in=0, tasks_out=0)
    assert whole.timeline is not None
    odd = attrs.evolve(
        whole,
        stages=(
            attrs.evolve(look, report=report, hours=hours, waiting=0.25),
            attrs.evolve(bright, report=open_end, hours=None),
        ),
        timeline=attrs.evolve(whole.timeline, breaks=((0.5, 90000.0),)),
        sampled=True,
        can_draw=False,
    )
    (tmp_path / "odd.html").write_text(render(odd))
    visit = Visit.of(browser, (tmp_path / "odd.html").as_uri())
    text = visit.page.locator("main").inner_text()
    shown = (
        "3 too <i>short</i>, 30 s in all",
        "GPU time",
        "50 %, 900 MB",
        "56 % busy, 19 % waiting for prepare, 25 % idle",
        "not begun",
    )
    assert [] == [
        part
        for part in shown
        if part.replace(" %", "\u202f%").replace(" s ", "\u202fs ").replace(" MB", "\u202fMB") not in text
    ]
    assert "6" == visit.page.locator(".figures div", has_text="cost").locator("b").inner_text()
    assert [] == visit.wrong
