"""Values that stages save with their tasks: they go where the task goes, and come back in a stage and in Python (W19)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest
import torch
from fragile import fragile
from saver_nets import Net
from saver_stages import (
    Celsius,
    Item,
    LoadSome,
    Pair,
    PassOn,
    SaveAll,
    SaveNamed,
    SaveOfGroup,
    SaveSome,
    Settings,
    values,
)
from shell import Shell

import hpcurate
from hpcurate import Chain, OpenRun, Saved, Stage, Step, Task
from hpcurate.errors import SavedError, StoreFailed
from hpcurate.planning.options import StageOptions
from hpcurate.savers import load
from hpcurate.serving.tasks import outcome_of
from hpcurate.store.rows import Codec
from hpcurate.task import File, put_saved
from hpcurate.testing import Outcome, try_stage
from stages.merge import Merge


@attrs.define(kw_only=True)
class OwnSaved(Task):
    """A class that had the word first."""

    saved: dict[str, Any] = attrs.field(factory=dict)


class Saves(Stage[Item, Item]):
    """What `how` says."""

    version = 1

    def __init__(self, how: str) -> None:
        self.how = how

    def process(self, tasks: list[Item]) -> list[Item]:
        """One story each."""
        found: list[Item] = getattr(self, f"_{self.how}")(tasks)
        return found

    def _numbers(self, tasks: list[Item]) -> list[Item]:
        for task in tasks:
            self.save(task, "n", [task.number])
        return tasks

    def _twice(self, tasks: list[Item]) -> list[Item]:
        return self._numbers(self._numbers(tasks))

    def _with_a_name(self, tasks: list[Item]) -> list[Item]:
        self.save(tasks[0], "../n", 1)
        return tasks

    def _object(self, tasks: list[Item]) -> list[Item]:
        self.save(tasks[0], "n", object())
        return tasks

    def _hides_its_failure(self, tasks: list[Item]) -> list[Item]:
        for task in tasks:
            with pytest.raises(SavedError):
                self.save(task, "n", {"x": float("nan")})
            self.save(task, "n", "then")
        return tasks

    def _drops_the_first(self, tasks: list[Item]) -> list[Item]:
        self._numbers(tasks)
        self.save(tasks[1], "other", tasks[0].saved["n"])
        self.drop(tasks[0], "first")
        return tasks[1:]

    def _fails_at_first(self, tasks: list[Item]) -> list[Item]:
        self._numbers(tasks)
        if len(tasks) > 1 or tasks[0].number == 0:
            raise ValueError("no")
        return tasks

    def _loads(self, tasks: list[Item]) -> list[Item]:
        return [attrs.evolve(task, number=10 * self.load(task, "n")[0]) for task in tasks]


def tried(folder: Path, how: str, count: int = 1, size: int = 1) -> Outcome:
    """Of so many items."""
    return try_stage(Saves(how), [Item(id=f"i{n}", number=n) for n in range(count)], folder / how, batch_size=size)


def row(line: bytes) -> dict[str, Any]:
    """Of a manifest."""
    plain: dict[str, Any] = json.loads(line)
    return plain


# -- rows -------------------------------------------------------------------------------------------


def test_a_row_has_what_is_saved_only_if_something_is() -> None:
    """So rows of before are the same, byte by byte; and it comes back, also beside names that are no text."""
    rows = Codec(Item, "/stages")
    assert b'{"number":1,"id":"a","parents":[],"weight":1.0}' == rows.encode(Item(id="a", number=1))
    task = Item(id="a\udcff", weight=float("inf"))
    put_saved(task, {"ü": Saved(File("s/ü"), File("s/ü.json"))})
    data = rows.encode_block([Item(id="b"), task])
    assert {"ü": {"file": "s/ü", "about": "s/ü.json"}} == row(data.splitlines()[1])["saved"]
    for back in (rows.decode_lines(data), [rows.decode(line) for line in data.splitlines()]):
        assert [{}, task.saved] == [one.saved for one in back]
    assert "/stages/s/ü" == rows.decode_lines(data)[1].saved["ü"].file.path


def test_a_class_may_have_a_field_of_that_name(tmp_path: Path) -> None:
    """It is the user's, as ever; only nothing can be saved with such tasks."""
    rows, task = Codec(OwnSaved), OwnSaved(id="a", saved={"n": {"file": "f", "about": "a"}})
    assert task == rows.decode(rows.encode(task))
    assert [task] == rows.decode_lines(rows.encode_block([task]))

    class SavesOne(Stage[OwnSaved, OwnSaved]):
        version = 1

        def process(self, tasks: list[OwnSaved]) -> list[OwnSaved]:
            self.save(tasks[0], "n", 1)
            return tasks

    [failed] = try_stage(SavesOne(), [task], tmp_path / "t").failed
    assert "OwnSaved has a field `saved` of its own" in failed["message"]


# -- one stage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "wrong"),
    [
        ("twice", "task 'i0' has something of that name; choose another"),
        ("with_a_name", r"save\('\.\./n'\): '\.\./n': a name has 1 to 100 letters"),
        ("object", "no saver takes a object; these are there: array, "),
        ("loads", "task 'i0': nothing is saved as 'n'; nothing is saved with it"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, how: str, wrong: str) -> None:
    """As the dead letter of the task."""
    [failed] = tried(tmp_path, how).failed
    assert "SavedError" == failed["error"]
    with pytest.raises(AssertionError, match=wrong):
        raise AssertionError(failed["message"])


def test_half_a_value_is_removed(tmp_path: Path) -> None:
    """And the name is free again."""
    out = tried(tmp_path, "hides_its_failure")
    assert "then" == load(out.tasks[0].saved["n"])
    assert ["n.txt", "n.txt.json"] == sorted(path.name for path in out.folder.glob("files/*/saved/*"))


def test_what_is_kept_is_what_rows_name(tmp_path: Path) -> None:
    """A value of a task that is dropped stays if another task has it too."""
    out = tried(tmp_path, "drops_the_first", count=2, size=2)
    [task] = out.tasks
    assert ([1], [0]) == (load(task.saved["n"]), load(task.saved["other"]))


def test_a_failed_batch_is_tried_again_from_the_start(tmp_path: Path) -> None:
    """What it had saved is gone, and so the names are free."""
    out = tried(tmp_path, "fails_at_first", count=3, size=3)
    assert [[1], [2]] == [load(task.saved["n"]) for task in out.tasks]
    assert ["no"] == [one["message"] for one in out.failed]
    assert {"i1", "i2"} == {path.name for path in (out.folder / "files").iterdir()}


def test_members_of_a_chain_load_what_those_before_have_saved(tmp_path: Path) -> None:
    """In memory, and through copies of the task."""
    chain = Chain([Saves("numbers"), Saves("loads")])
    out = try_stage(chain, [Item(id="a", number=3)], tmp_path / "t")
    assert ([30], [3]) == ([task.number for task in out.tasks], load(out.tasks[0].saved["n"]))
    again = Chain([Saves("numbers"), Saves("numbers")])
    assert "something of that name" in try_stage(again, [Item(id="a")], tmp_path / "u").failed[0]["message"]


class SavesLarge(Stage[Item, Item]):
    """More than there is room for."""

    version = 1

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def process(self, tasks: list[Item]) -> list[Item]:
        """40 MB that cannot be made smaller."""
        numbers = np.random.default_rng(0).integers(0, 1 << 60, 5_000_000)
        value: Any = {
            "array": lambda: numbers,
            "table": lambda: pd.DataFrame({"n": numbers}),
            "checkpoint": lambda: {"n": torch.from_numpy(numbers)},
            "torch": lambda: [torch.from_numpy(numbers)],
            "text": lambda: "x" * 40_000_000,
        }[self.kind]()
        self.save(tasks[0], "large", value)
        return tasks


def test_a_full_disk_is_no_fault_of_the_task(tmp_path: Path) -> None:
    """Whatever the library says that writes: the attempt ends, and the next one may find room."""
    with fragile(tmp_path) as small:
        for kind in ("array", "table", "checkpoint", "torch", "text"):
            with pytest.raises(StoreFailed, match="No space left on device"):
                try_stage(SavesLarge(kind), [Item(id="a")], small.store / kind)
            shutil.rmtree(small.store / kind)


def test_what_is_saved_is_answered_as_files(tmp_path: Path) -> None:
    """Of a served stage: no path of this machine, and nothing that nobody can fetch."""
    (tmp_path / "saved").mkdir()
    place = {path: File(f"{tmp_path.name}/saved/{path}") for path in ("n.txt", "n.txt.json")}
    for path in place:
        (tmp_path / "saved" / path).write_text(path)
    task = Item(id="1")
    put_saved(task, {"n": Saved(*place.values())})
    [plain], files = outcome_of(Item, str(tmp_path), Codec(Item).encode(task))
    assert ({"file": 0, "name": "n.txt", "media": "text/plain"}, 1) == (
        plain["saved"]["n"]["file"], plain["saved"]["n"]["about"]["file"],
    )  # fmt: skip
    assert ["n.txt", "n.txt.json"] == [Path(one.path).read_text() for one in files]


# -- a run ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory: pytest.TempPathFactory) -> OpenRun:
    """Three stages in processes of their own, one of which prepares in others; files are freed when nobody needs them."""
    store = tmp_path_factory.mktemp("saved") / "store"
    stages = {
        "save": SaveSome(),
        "pass": Chain([PassOn(), PassOn()]),
        "load": Step(LoadSome(), StageOptions(prepare="processes")),
    }
    items = [Item(id="a", number=3), Item(id="k=v/..\udcff\n", number=4)]
    run = hpcurate.run(stages, items, store=store, launcher="local", keep="results")
    return hpcurate.open(run.run.path)


def test_what_is_saved_goes_from_stage_to_stage(saved_run: OpenRun) -> None:
    """Past one that returns copies, into `prepare` in another process, and on with a task that is made of it."""
    assert [] == [letter.message for letter in saved_run.dead_letters()]
    for number, task, plain in zip((3, 4), saved_run.tasks("load"), saved_run.results("load"), strict=True):
        assert ["numbers"] == list(task.saved) == list(plain["saved"])
        for one in (task, plain):
            assert np.array_equal(np.arange(number), saved_run.load(one, "numbers"))
        assert isinstance(task, Item)
        assert sum(range(number)) + len("3 numbers") == task.number
        with pytest.raises(SavedError, match=r"nothing is saved as 'note'; it has numbers \(a task that a stage made"):
            saved_run.load(task, "note")


def test_what_branches_save_comes_together(tmp_path: Path) -> None:
    """Through a sort step, which copies rows by their bytes, a merge and groups."""
    stages = {
        "x": Step(SaveNamed("x"), StageOptions(after=[])),
        "y": Step(SaveNamed("y"), StageOptions(after=[])),
        "merge": Step(Merge(), StageOptions(after=["x", "y"])),
        "group": SaveOfGroup(),
    }
    items = [Item(id=f"i{number}", number=number) for number in range(5)]
    run = hpcurate.run(stages, items, store=tmp_path / "store", launcher="inline")
    assert [] == [letter.message for letter in run.dead_letters()]
    found = {task.id: (sorted(task.saved), run.load(task, "group")) for task in run.tasks("group")}
    assert {item.id: (["group", "x", "y"], 3 - item.number % 2) for item in items} == found


def test_every_kind_comes_back_from_a_folder_and_from_another_store(tmp_path: Path) -> None:
    """From a stage through `hpcurate results --to`, and through `export` and `import`, to Python."""
    run = hpcurate.run({"save": SaveAll()}, [Item(id="a")], store=tmp_path / "store", launcher="inline")
    shell = Shell(tmp_path)
    shell.type("results", "save", "--store", run.run.store.root, "--to", str(tmp_path / "out"))
    [line] = (tmp_path / "out" / "manifest.jsonl").read_bytes().splitlines()
    _check_all({name: load(tmp_path / "out" / saved["file"]) for name, saved in row(line)["saved"].items()})

    shell.type("export", "latest", str(tmp_path / "run.tar"), "--store", run.run.store.root)
    shell.type("import", str(tmp_path / "run.tar"), "--store", str(tmp_path / "other"), "--anyway")
    shutil.rmtree(tmp_path / "store")
    other = hpcurate.open(store=tmp_path / "other")
    [task] = other.tasks("save")
    _check_all({name: other.load(task, name) for name in task.saved})


def _check_all(back: dict[str, Any]) -> None:
    """Whether it is what was saved."""
    wanted = values()
    assert {*wanted, "record", "own"} == back.keys()
    assert np.array_equal(wanted["array"], back["array"])
    assert wanted["table"].equals(back["table"])
    assert (Net, 3) == (type(back["checkpoint"]), back["checkpoint"].layers.in_features)
    assert (7, [1.0, 1.0]) == (back["torch"]["step"], back["torch"]["state"][0].tolist())
    assert [wanted[name] for name in ("notebook", "json", "text")] == [
        back[name] for name in ("notebook", "json", "text")
    ]
    assert (Pair(0.5, Settings("s", (1, 2))), Celsius(21.5)) == (back["record"], back["own"])
    assert back["figure"].size[0] > 1
