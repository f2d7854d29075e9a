"""Files: every one that a row names is there, and is kept because the row names it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from unit_stages import Number, Returns, chain, numbers

from hpcurate import File, Stage
from hpcurate.errors import StageError
from hpcurate.store.files import files_folder
from hpcurate.testing import Outcome, try_stage


def note(stage: Stage[Any, Any], task: Number, text: str = "x", name: str = "note.txt") -> File:
    """A file of `task`, written."""
    file = stage.file(task, name)
    Path(file).write_text(text)
    return file


class Does(Stage[Number, Number]):
    """What `how` says, to each batch."""

    version = 1

    def __init__(self, how: str) -> None:
        self.how = how
        self.first: Number | None = None

    def process(self, tasks: list[Number]) -> list[Number]:
        """One story each."""
        found: list[Number] = getattr(self, f"_{self.how}")(tasks)
        return found

    def _one_matrix(self, tasks: list[Number]) -> list[Number]:
        file = note(self, tasks[0], " ".join(str(task.value) for task in tasks))
        return [attrs.evolve(task, note=file) for task in tasks]

    def _drop_the_first(self, tasks: list[Number]) -> list[Number]:
        self.drop(tasks[0], "first")
        return tasks[1:]

    def _keep_the_twins(self, tasks: list[Number]) -> list[Number]:
        """Like a dedup: everything but the first goes, and the first gets the last one's file."""
        files = [note(self, task, str(task.value)) for task in tasks]
        for task in tasks[1:]:
            self.drop(task, "twin")
        return [attrs.evolve(tasks[0], note=files[-1])]

    def _name_the_first_of_all(self, tasks: list[Number]) -> list[Number]:
        """The first task ever is dropped; later ones, in other batches, name its file."""
        if self.first is None:
            self.first = attrs.evolve(tasks[0], note=note(self, tasks[0], "of the first"))
            note(self, tasks[0], "not needed", "other.txt")
            self.drop(tasks[0], "only its file")
            tasks = tasks[1:]
        return [attrs.evolve(task, note=self.first.note) for task in tasks]

    def _name_what_is_not_there(self, tasks: list[Number]) -> list[Number]:
        for task in tasks:
            task.note = self.file(task, "never.txt") if task.value == 2 else note(self, task)
        return tasks

    def _write_without_a_field(self, tasks: list[Number]) -> list[Number]:
        for task in tasks:
            note(self, task, name="index.faiss")
        return [task for task in tasks if task.value % 2]

    def _whole_folders(self, tasks: list[Number]) -> list[Number]:
        for task in tasks:
            folder = self.file(task, "table.zarr")
            os.makedirs(folder)
            Path(folder, "0.0").write_text("chunk")
            task.note = folder
        return tasks

    def _empty_folders(self, tasks: list[Number]) -> list[Number]:
        for task in tasks:
            task.note = self.file(task, "table.zarr")
            os.makedirs(task.note)
        return tasks

    def _links(self, tasks: list[Number]) -> list[Number]:
        for task in tasks:
            task.note = self.file(task, "link.txt")
            os.symlink("/etc/hostname", task.note)
        return tasks

    def _escape(self, tasks: list[Number]) -> list[Number]:
        for task in tasks:
            task.note = File(note(self, task).ref.replace("/note", "/../../../input"))
        return tasks

    def _remove_later(self, tasks: list[Number]) -> list[Number]:
        if self.first is None:
            self.first = tasks[0]
            tasks[0].note = note(self, tasks[0])
        elif self.first.note is not None:
            os.unlink(self.first.note)
        return tasks

    def _pass_on(self, tasks: list[Number]) -> list[Number]:
        return tasks


def files(outcome: Outcome) -> dict[str, str]:
    """What is left, by path below `files/`."""
    top = outcome.folder / "files"
    return {str(path.relative_to(top)): path.read_text() for path in top.rglob("*") if path.is_file()}


def read(outcome: Outcome) -> list[str]:
    """What the returned tasks' files hold."""
    return [Path(task.note).read_text() for task in outcome.tasks]


def test_one_file_of_a_batch_outlives_the_task_it_was_written_for(tmp_path: Path) -> None:
    """A matrix of the batch, whose owner the next member drops. Was removed with its owner, and the rows committed."""
    outcome = try_stage(chain(Does("one_matrix"), Does("drop_the_first")), numbers(1, 2, 3), tmp_path, batch_size=3)
    assert (["1 2 3"] * 2, 1) == (read(outcome), outcome.counts.dropped)


def test_a_twins_file_is_kept_with_the_row_that_names_it(tmp_path: Path) -> None:
    """And no other of the twins'. Was removed, as the twin was dropped."""
    outcome = try_stage(Does("keep_the_twins"), numbers(1, 2, 3), tmp_path, batch_size=3)
    assert (["3"], {"n1/note.txt": "1", "n3/note.txt": "3"}) == (read(outcome), files(outcome))


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_a_row_of_another_batch_keeps_a_file(tmp_path: Path, batch_size: int) -> None:
    """Whatever the batches are. Was removed after the batch of its owner; what nobody names goes, as before."""
    outcome = try_stage(Does("name_the_first_of_all"), numbers(1, 2, 3), tmp_path, batch_size=batch_size)
    assert (["of the first"] * 2, {"n1/note.txt": "of the first"}) == (read(outcome), files(outcome))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_file_that_was_never_written_fails_its_task_alone(tmp_path: Path, batch_size: int) -> None:
    """By task, field and path. Was committed: the next stage found nothing."""
    outcome = try_stage(Does("name_what_is_not_there"), numbers(1, 2, 3), tmp_path, batch_size=batch_size)
    [row] = outcome.failed
    assert (["n1", "n3"], "n2", "StageError") == ([task.id for task in outcome.tasks], row["id"], row["error"])
    for said in ("'n2'", "note:", "trial/files/n2/never.txt", "was not written"):
        assert said in row["message"]


def test_a_file_without_a_field_stays_with_its_task(tmp_path: Path) -> None:
    """As long as the task is passed on."""
    outcome = try_stage(Does("write_without_a_field"), numbers(1, 2, 3), tmp_path, batch_size=3)
    assert ["n1/index.faiss", "n3/index.faiss"] == sorted(files(outcome))


def test_a_folder_is_a_file_if_something_is_in_it(tmp_path: Path) -> None:
    """Some formats are folders."""
    outcome = try_stage(Does("whole_folders"), numbers(1), tmp_path)
    assert ({"n1/table.zarr/0.0": "chunk"}, 0) == (files(outcome), outcome.counts.failed)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("empty_folders", "is an empty folder"),
        ("links", "is a link or a device"),
        ("escape", "is not a place that self.file() gave"),
    ],
)
def test_what_a_shard_would_not_keep_is_refused(tmp_path: Path, how: str, said: str) -> None:
    """It would be committed without its content, or outside the shard."""
    [row] = try_stage(Does(how), numbers(1), tmp_path).failed
    assert said in row["message"]


def test_a_file_that_a_later_batch_removes_ends_the_attempt(tmp_path: Path) -> None:
    """Its row is written by then, so no task can be blamed."""
    with pytest.raises(StageError, match=r"'n1' was passed on with the file 'files/n1/note.txt', which has since been"):
        try_stage(Does("remove_later"), numbers(1, 2), tmp_path)


# -- files of other shards --------------------------------------------------------------------------

UPSTREAM = "double-0123/shards/0001-000/0001-000000"


def upstream(folder: Path, recorded: dict[str, int] | None) -> None:
    """A committed shard that has the file n1/note.txt, and the list of its files."""
    note = folder / UPSTREAM / "files" / "n1" / "note.txt"
    note.parent.mkdir(parents=True)
    note.write_text("from above")
    (folder / UPSTREAM / "stats.json").write_text(json.dumps({} if recorded is None else {"files": recorded}))


def passed_on(folder: Path, ref: str) -> Outcome:
    """A task with this file, passed on."""
    return try_stage(Does("pass_on"), [Number(id="a", value=1, note=File(ref))], folder)


@pytest.mark.parametrize(
    ("ref", "recorded", "said"),
    [
        ("files/n1/note.txt", {"files/n1/note.txt": 10}, ""),
        ("files/n1", {"files/n1/note.txt": 10}, ""),
        ("files/n1/note.txt", None, ""),
        ("files/n1/other.txt", None, "was not written"),
        ("files/n1/note.txt", {"files/n2/note.txt": 10}, "is not among those of the shard"),
        ("files/n1/note.txt", {}, "is not among those of the shard"),
    ],
)
def test_a_file_of_another_shard_is_one_that_its_stats_list(
    tmp_path: Path, ref: str, recorded: dict[str, int] | None, said: str
) -> None:
    """Old stats without a list: the file itself is looked at."""
    upstream(tmp_path, recorded)
    outcome = passed_on(tmp_path, f"{UPSTREAM}/{ref}")
    assert ([True] if said else [], 0 if said else 1) == (
        [said in row["message"] for row in outcome.failed], len(outcome.tasks),
    )  # fmt: skip


def test_a_file_of_a_shard_that_is_gone_is_missing(tmp_path: Path) -> None:
    """Purged storage is noticed by the stage that reads it."""
    [row] = passed_on(tmp_path, f"{UPSTREAM}/files/n1/note.txt").failed
    assert "'a': note:" in row["message"]


# -- names of folders -------------------------------------------------------------------------------


def test_file_names_of_any_id_stay_apart_and_inside() -> None:
    """Ids are no paths, and none is the folder of all files: an empty id removed every file of its shard."""
    ids = ["", "a/b", "a%2Fb", "..", ".", "ü\udcff", "\ud800", "\0", "x" * 300, "a b", "A"]
    names = [files_folder(task_id) for task_id in ids]
    assert (len(ids), []) == (len(set(names)), [n for n in names if "/" in n or n in ("", ".", "..") or len(n) > 255])


def test_a_task_without_an_id_is_refused_and_spares_the_files_of_others(tmp_path: Path) -> None:
    """It fails by itself. Removed `files/` of the whole shard before."""
    outcome = try_stage(chain(Does("one_matrix"), Returns("no_id")), numbers(1, 2), tmp_path, batch_size=1)
    assert (["n1"], ["1"], True) == (
        [task.id for task in outcome.tasks], read(outcome), "has a character or more" in outcome.failed[0]["message"],
    )  # fmt: skip
