"""A run as a Python object: its tasks as the stages made them, and a look at it in a notebook (W18)."""

from __future__ import annotations

import builtins
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from films import Films
from story_stages import Film, Scene

import hpcurate
from hpcurate.errors import ConfigError, PipelineError, StoreError
from hpcurate.report.notebook import page
from hpcurate.report.run_view import RunView
from hpcurate.runs.state import RunState


def test_a_run_is_opened_by_name_folder_or_store(films: Films, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as what hpcurate.run returned."""
    name, store = films.run.name, films.run.store.root
    monkeypatch.setenv("HPCURATE_STORE", store)
    for opened in (hpcurate.open(name[:15], store), hpcurate.open(films.run.path), hpcurate.open()):
        assert (films.run, RunState.COMPLETE) == (opened.run, opened.state)
        assert f"<run {name}: complete>" == repr(opened)
    monkeypatch.delenv("HPCURATE_STORE")
    monkeypatch.setenv("XDG_CONFIG_HOME", store)
    with pytest.raises(ConfigError, match=r"which store\? type hpcurate.open\(run, store="):
        hpcurate.open()
    with pytest.raises(StoreError, match="no run is called 'other'"):
        hpcurate.open("other", store)


def test_tasks_are_read_back_as_they_were_committed(films: Films) -> None:
    """Of the class that the stage gives, with files that open; lazily."""
    opened = hpcurate.open(films.run.path)
    scenes = opened.tasks("look")
    first = next(scenes)
    assert isinstance(first, Scene)
    assert first.still is not None
    assert f"{first.number}\n" == builtins.open(first.still).read()
    assert 8 == len(list(scenes))
    rows = [json.loads(line) for line in films.lines("look")]
    assert [row["id"] for row in rows] == [task.id for task in opened.tasks("look")]
    assert {Film} == {type(task) for task in opened.tasks("input")}
    assert [row["still"] for row in opened.results("look")] == [os.fspath(s.still) for s in opened.tasks("look")]  # type: ignore[attr-defined]


def test_what_did_not_pass(films: Films) -> None:
    """Drops with their reasons, dead letters with their errors; a misspelt stage is refused at once."""
    opened = hpcurate.open(films.run.path)
    assert {"no scene", "blurred", "second half"} == {row["reason"] for row in opened.dropped()}
    assert ["split"] == [row["stage"] for row in opened.dropped("split")]
    assert ["bad.mp4: cannot be split"] == [letter.message for letter in opened.dead_letters()]
    assert [] == list(opened.dead_letters("look"))
    assert "failed" == opened.trace("bad.mp4").stories[0].steps[0].became.value
    for call in (opened.tasks, opened.results, opened.dropped, opened.dead_letters):
        with pytest.raises(ConfigError, match="there is no stage 'lok'"):
            call("lok")


def test_without_the_code_of_a_stage_rows_are_plain(films: Films, tmp_path: Path) -> None:
    """What a colleague's notebook sees, whose folder has no such module."""
    code = (
        "import sys, hpcurate\nrun = hpcurate.open(sys.argv[1])\nprint(sum(1 for _ in run.results('look')))\n"
        "try:\n    run.tasks('look')\nexcept hpcurate.errors.PipelineError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", code, films.run.path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "9" == done.stdout.splitlines()[0]
    assert "stages.look: cannot import" in done.stdout
    assert ".results('look') needs no class" in done.stdout


class Seen(HTMLParser):
    """The texts and tags of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.within: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: object) -> None:
        """Note it."""
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.texts.append(data)
        self.within.append((self.tags[-1], data))


def test_a_notebook_shows_the_run(films: Films, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of stages; pictures where tasks have them; a hostile name is text."""
    opened = hpcurate.open(films.run.path)
    seen = Seen(opened._repr_html_())
    assert films.run.name in seen.texts
    cells = [text for tag, text in seen.within if tag == "td"]
    assert ["split", "3/3", "5", "8", "1", "1", "look"] == cells[:7]
    assert ["split", "5 → 8"] == [text for tag, text in seen.within if tag == "text"][:2]
    monkeypatch.setattr("hpcurate.report.notebook.PICTURES", {".txt": "png"})
    drawn = page(RunView(films.run), opened.report)
    assert 'alt="&lt;b&gt;\n\\udcff.mp4"' in drawn
    assert set(Seen(opened._repr_html_()).tags) | {"img"} == set(Seen(drawn).tags)


def test_the_package_shows_what_is_public() -> None:
    """`dir` and completion: none of the modules that were imported on the way; a star leaves Python's open alone."""
    import hpcurate.report.columns

    assert {"Stage", "Task", "run", "open"} <= set(dir(hpcurate))
    assert set() == {"report", "annotations", "TYPE_CHECKING", "Any"} & set(dir(hpcurate))
    assert "open" not in hpcurate.__all__
    assert all(getattr(hpcurate, name) for name in dir(hpcurate))
    assert issubclass(PipelineError, Exception)
