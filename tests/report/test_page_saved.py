"""Values that stages saved with tasks, on the page: what is known of them, previews within limits, nothing that runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from saver_stages import Item, SaveAll, values

import hpcurate
from hpcurate.report.page.model import Options, Page, page_of
from hpcurate.report.page.render import render
from hpcurate.report.page.saved import LINES, TASKS, SavedRows, SavedValue, stages_saved
from hpcurate.report.run_view import RunView
from hpcurate.savers.documents import TextSaver
from hpcurate.savers.writing import write
from hpcurate.task import File

FOLDER = "s-0123456789ab"
FILES = f"{FOLDER}/shards/0001-000/0001-000000/files/x/saved"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Of a run in which a stage saves all kinds, with a task whose name is a script."""
    store = tmp_path_factory.mktemp("page") / "store"
    run = hpcurate.run({"save": SaveAll()}, [Item(id="<script>alert(1)</script>")], store=store, launcher="inline").run
    return page_of(RunView(run), Options())


def test_each_kind_is_shown(page: Page) -> None:
    """With what is known of it, and what can be seen of it."""
    [stage] = page.saved
    shown = {one.name: one for one in stage.values}
    assert ("save", 1, {*values(), "record", "own"}) == (stage.stage, stage.tasks, shown.keys())
    assert ("0.0, 3.0, 1.0, 4.0, 2.0, 5.0", "array") == (shown["array"].text, shown["array"].saver)
    assert shown["array"].facts.startswith("float32, 3 × 2, ")
    assert shown["checkpoint"].facts.startswith(
        "config {'width': 3}, numbers 8, tensors 2, training True, saver_nets:Net"
    )
    assert shown["figure"].picture.startswith("data:image/png;base64,")
    assert "[markdown] <b>hello</b>" == shown["notebook"].text
    assert values()["json"] == json.loads(shown["json"].text)
    table = shown["table"].table
    assert table is not None
    assert (("a", 1, 5), ("<b>", 2, 7), 0) == (*table.rows, table.left)
    assert shown["own"].facts.startswith("degrees 21.5")


def test_nothing_of_them_is_markup(page: Page) -> None:
    """Names, texts, cells and cells of notebooks are escaped."""
    html = render(page)
    section = html[html.index('id="saved"') : html.index("<footer>")]
    assert not re.search(r"<script|<b>hello|<b></td>", section)
    assert "&lt;b&gt;hello&lt;/b&gt;" in section
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in section


def saved(folder: Path, text: str, name: str = "note") -> dict[str, object]:
    """A row of a task with a text, which is on disk."""

    def place(path: str) -> File:
        ref = f"{FILES.rpartition('/')[0]}/{path}"
        (folder / ref).parent.mkdir(parents=True, exist_ok=True)
        return File(ref, str(folder / ref))

    one = write(name, text, ("text", TextSaver()), place, {"stage": "s", "task": "x"})
    return {"id": "x", "saved": {name: {"file": one.file.ref, "about": one.about.ref}}}


def shown(folder: Path, *rows: dict[str, object]) -> tuple[SavedValue, ...]:
    """What the page has of rows of one stage."""
    found = SavedRows(FOLDER)
    for row in rows:
        found.add(row)
    return stages_saved({"s": found}, str(folder))[0].values if found.count else ()


def test_previews_are_short(tmp_path: Path) -> None:
    """However long a text is, and however many tasks there are."""
    row = saved(tmp_path, "line\n" * 10_000)
    [one] = shown(tmp_path, row)
    assert LINES == one.text.count("line")
    assert one.text.endswith(" …")
    assert TASKS == len(shown(tmp_path, *[row] * 50))


def test_what_is_gone_damaged_or_elsewhere_is_not_shown(tmp_path: Path) -> None:
    """The page has the rest. What another stage saved is shown there."""
    good = saved(tmp_path, "a")
    gone = {"id": "y", "saved": {"n": {"file": f"{FILES}/gone.txt", "about": f"{FILES}/gone.txt.json"}}}
    out = {"id": "y", "saved": {"n": {"file": f"{FILES}/../../../../../../x.txt"}, "m": 3, "k": {"file": 4}}}
    other = {"id": "y", "saved": {"n": {"file": FILES.replace("s-", "t-") + "/note.txt"}}}
    assert ["a"] == [one.text for one in shown(tmp_path, good, gone, out, other, {"id": "z", "saved": "mine"})]
    (tmp_path / FILES / "bad.npy").write_bytes(b"no array")
    (tmp_path / FILES / "bad.npy.json").write_bytes((tmp_path / FILES / "note.txt.json").read_bytes())
    [one] = shown(tmp_path, {"id": "x", "saved": {"bad": {"file": f"{FILES}/bad.npy"}}})
    assert ("", None) == (one.text, one.table)
