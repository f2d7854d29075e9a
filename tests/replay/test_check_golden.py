"""`hpcurate.testing.check_golden`: a user's own test of a stage."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from hpcurate import File, FileTask, Stage, Task
from hpcurate.errors import ConfigError
from hpcurate.testing import check_golden, try_stage


@attrs.define(kw_only=True)
class Title(Task):
    """What the stage makes."""

    words: int
    score: float
    card: File | None = None


class Titles(Stage[FileTask, Title]):
    """A child with a file of each task that has text."""

    def __init__(self, more: float = 0.0, mark: str = "") -> None:
        self.more, self.mark = more, mark

    def process(self, tasks: list[FileTask]) -> list[Title]:
        """The titles."""
        return [title for task in tasks if (title := self._title(task))]

    def _title(self, task: FileTask) -> Title | None:
        text = Path(task.path).read_text()
        if not text:
            self.drop(task, "no text")
            return None
        title = self.child(task, Title, words=len(text.split()), score=len(text) + self.more)
        title.card = self.file(title, "card.txt")
        Path(title.card).write_text(text + self.mark)
        return title


def tasks_in(folder: Path) -> list[FileTask]:
    """Two files, one of them empty."""
    for name, text in (("a.txt", "two words"), ("b.txt", "")):
        (folder / name).write_text(text)
    return [FileTask(id=n, source=n, path=str(folder / n), size=1, mtime_ns=7) for n in ("a.txt", "b.txt")]


def test_what_is_kept_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the tasks of the test, and with those that the folder has; the message names task, field and values."""
    golden, tasks = tmp_path / "golden", tasks_in(tmp_path)
    with pytest.raises(AssertionError, match="set HPCURATE_SAVE_GOLDEN=1"):
        check_golden(Titles(), golden, tasks)
    monkeypatch.setenv("HPCURATE_SAVE_GOLDEN", "1")
    with pytest.warns(UserWarning, match="kept in"):
        check_golden(Titles(), golden, tasks)
    monkeypatch.delenv("HPCURATE_SAVE_GOLDEN")
    check_golden(Titles(), golden, tasks)
    (tmp_path / "a.txt").unlink()
    check_golden(Titles(), golden)
    with pytest.raises(AssertionError) as raised:
        check_golden(Titles(more=0.5, mark="!"), golden)
    lines = str(raised.value).splitlines()
    assert "1 same, 1 changed, 0 missing, 0 additional" == lines[1]
    assert ["    score: 9.0 → 9.5", "    card: card.txt (9 bytes → 10 bytes)"] == sorted(lines[3:], reverse=True)
    check_golden(Titles(more=0.5, mark="!"), golden, tolerance={"score": 0.5}, ignore=["card"])
    check_golden(Titles(more=0.5), golden, tolerance={"score": "10%"})
    check_golden(Titles(more=0.5), golden, update=True)
    check_golden(Titles(more=0.5), golden)


def test_the_first_golden_folder_needs_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable set, too; then a warning says what was kept, which pytest lists."""
    golden = tmp_path / "golden"
    for value in ("", "1"):
        monkeypatch.setenv("HPCURATE_SAVE_GOLDEN", value)
        with pytest.raises(AssertionError, match=r"give it some, check_golden\(stage, folder, tasks\), .* --save$"):
            check_golden(Titles(), golden)
    with pytest.warns(UserWarning, match=r"kept in .*golden: 1 passed on, 1 dropped, 0 failed"):
        check_golden(Titles(), golden, tasks_in(tmp_path))


def test_a_misspelt_field_is_a_warning(tmp_path: Path) -> None:
    """Not a failure: a field may be there with some tasks only."""
    check_golden(Titles(), tmp_path / "golden", tasks_in(tmp_path), update=True)
    with pytest.warns(UserWarning, match="'skore': no task has a field of that name"):
        check_golden(Titles(), tmp_path / "golden", tolerance={"skore": 1}, ignore=["card"])


def test_a_second_trial_in_one_folder_is_refused(tmp_path: Path) -> None:
    """With what to do."""
    tasks = tasks_in(tmp_path)
    try_stage(Titles(), tasks, tmp_path / "trial")
    with pytest.raises(ConfigError, match="an earlier trial is there; name another folder, or remove this one"):
        try_stage(Titles(), tasks, tmp_path / "trial")


def test_a_file_of_another_stage_is_kept_with_its_task(tmp_path: Path) -> None:
    """A test makes one of any file."""
    (tmp_path / "card.txt").write_text("x")
    task = Title(id="t", words=1, score=1.0, card=File("cards/card.txt", str(tmp_path / "card.txt")))
    check_golden(Shout(), tmp_path / "golden", [task], update=True)
    (tmp_path / "card.txt").unlink()
    check_golden(Shout(), tmp_path / "golden")


class Shout(Stage[Title, Title]):
    """Reads a file that came in, and passes it on."""

    def process(self, tasks: list[Title]) -> list[Title]:
        """In capitals."""
        for task in tasks:
            assert task.card is not None
            task.words = len(Path(task.card).read_text().upper())
        return tasks


def test_a_task_is_given_as_it_is(tmp_path: Path) -> None:
    """Odd names are those that it had, and no text but paths of files is touched; messages name no folder."""
    odd = tmp_path / ".a \udcff\n.txt"
    odd.write_text("x")
    task = FileTask(id="a", source=f"{tmp_path}/", path=str(odd), size=1, mtime_ns=1)
    check_golden(Tells(), tmp_path / "golden", [task], update=True)
    odd.unlink()
    check_golden(Tells(), tmp_path / "golden")
    (kept,) = (tmp_path / "golden" / "failed.jsonl").read_text().splitlines()
    assert json.loads(kept)["message"] == f"{tmp_path}/ .a \udcff\n.txt"


class Tells(Stage[FileTask, FileTask]):
    """Says what it was given."""

    def process(self, tasks: list[FileTask]) -> list[FileTask]:
        """As an error."""
        raise ValueError(f"{tasks[0].source} {tasks[0].path}")
