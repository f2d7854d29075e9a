"""Results beside the input and in folders: of any task type, with their files, each under a name of its own."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest
from captioned import Caption, caption
from snapshot import difference, snapshot

from hpcurate import File, FileTask, Record, Task
from hpcurate.errors import PipelineError
from hpcurate.testing import Outcome, try_stage
from stages.output_fields import output
from stages.results.items import WriteItems
from stages.vision.tasks import ImageTask


def write(folder: Path, tasks: list[Any], **how: Any) -> Outcome:
    """What becomes of the tasks; they are written below `out`."""
    trial = folder / f"trial-{len(list(folder.glob('trial-*')))}"
    if (folder / "stages").exists():
        shutil.copytree(folder / "stages", trial)
    return try_stage(WriteItems(str(folder / "out"), **how), tasks, trial)


def tree(folder: Path) -> list[str]:
    """Paths of all files, hidden ones too."""
    return sorted(os.fsencode(p.relative_to(folder)).decode("utf-8", "backslashreplace") for p in folder.rglob("*") if p.is_file())  # fmt: skip


def test_a_result_lies_beside_its_item(tmp_path: Path) -> None:
    """The record under the item's whole name, its files by their fields; what is internal is nowhere."""
    trial = write(tmp_path, [caption(tmp_path, "a/b.mp4", id="7")])
    assert [] == [one["message"] for one in trial.failed]
    names = ["a/b.mp4.json", "a/b.mp4.masks.0.png", "a/b.mp4.masks.1.png", "a/b.mp4.thumb.webp"]
    assert names == tree(tmp_path / "out")
    assert {
        "id": "7", "source": "a/b.mp4", "text": "of a/b.mp4", "thumb": "b.mp4.thumb.webp",
        "masks": ["b.mp4.masks.0.png", "b.mp4.masks.1.png"],
    } == json.loads((tmp_path / "out" / "a" / "b.mp4.json").read_bytes())  # fmt: skip
    assert "x/1.png" == (tmp_path / "out" / "a" / "b.mp4.masks.1.png").read_text()


def test_a_result_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Named like the item, with its suffix, so that two of one stem do not meet; or as the pattern says."""
    tasks = [caption(tmp_path, "a/b.mp4"), caption(tmp_path, "a/b.mkv", thumb=None, masks=[])]
    assert [] == write(tmp_path, tasks, layout="folder").failed
    assert [
        "a/b.mkv/record.json", "a/b.mp4/masks.0.png", "a/b.mp4/masks.1.png", "a/b.mp4/record.json",
        "a/b.mp4/thumb.webp",
    ] == tree(tmp_path / "out")  # fmt: skip
    assert "thumb.webp" == json.loads((tmp_path / "out/a/b.mp4/record.json").read_bytes())["thumb"]
    (failed,) = write(tmp_path, tasks, layout="folder", name="{parent}/{stem}").failed
    assert "is the result of task a/b.mp4 already" in failed["message"]


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    """No inode, and no file more; a changed result replaces its own."""
    write(tmp_path, [caption(tmp_path, "a.mp4")])
    before = snapshot(tmp_path / "out")
    assert [] == write(tmp_path, [caption(tmp_path, "a.mp4")]).failed
    assert {} == difference(before, snapshot(tmp_path / "out"))
    assert [] == write(tmp_path, [caption(tmp_path, "a.mp4", caption="better")]).failed
    assert {".", "a.mp4.json"} == set(difference(before, snapshot(tmp_path / "out")))


def test_two_results_of_one_item_want_names(tmp_path: Path) -> None:
    """The second is a dead letter that names both, and what to type; with their ids in the names both are written."""
    tasks = [caption(tmp_path, "a.mp4", id="one"), caption(tmp_path, "a.mp4", id="two")]
    trial = write(tmp_path, tasks)
    assert ["one"] == [task.id for task in trial.tasks]
    assert "task one" in trial.failed[0]["message"]
    assert "task two" in trial.failed[0]["message"]
    assert "name='{relative}.{id}'" in trial.failed[0]["message"]
    assert [] == write(tmp_path, tasks, name="{relative}.{id}", layout="folder").failed
    assert (tmp_path / "out" / "a.mp4.two" / "record.json").exists()


@pytest.mark.parametrize("there", [b"", b"[1]", b'{"title": "of another tool"}', b"\xff", b'{"id": 7}'])
def test_a_file_of_others_is_never_replaced(tmp_path: Path, there: bytes) -> None:
    """Unless that is said: such as the sidecar that a download left beside the video."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mp4.json").write_bytes(there)
    (failed,) = write(tmp_path, [caption(tmp_path, "a.mp4")]).failed
    assert "is a file that is no result already" in failed["message"]
    assert ["a.mp4.json"] == tree(tmp_path / "out")
    assert there == (tmp_path / "out" / "a.mp4.json").read_bytes()
    assert [] == write(tmp_path, [caption(tmp_path, "a.mp4")], others="replace").failed


ODD = ["a b.mp4", "it's", "new\nline.mp4", "-dash", "[z]/{q}.mp4", "\udcff\udcfe.mp4", "uü/uü.mp4", "%s$(x)", "a" * 240]


@pytest.mark.parametrize("layout", ["beside", "folder"])
def test_names_may_be_odd(tmp_path: Path, layout: Any) -> None:
    """Any bytes; and what a record says of its files is where they are."""
    assert [] == write(tmp_path, [caption(tmp_path, name) for name in ODD], layout=layout).failed
    for name in ODD:
        record = tmp_path / "out" / (f"{name}.json" if layout == "beside" else f"{name}/record.json")
        found = json.loads(record.read_bytes())
        assert "x/thumb.webp" == (record.parent / found["thumb"]).read_text()


@pytest.mark.parametrize("source", ["../x.mp4", "/etc/x.mp4", "a/../../x.mp4", "a" * 253])
def test_names_that_lead_out_are_refused(tmp_path: Path, source: str) -> None:
    """As dead letters, and nothing is written; the others of the batch are."""
    trial = write(tmp_path, [caption(tmp_path, source), caption(tmp_path, "a.mp4", thumb=None, masks=[])])
    assert ["a.mp4"] == [task.source for task in trial.tasks]
    assert "give results another name" in trial.failed[0]["message"]
    assert ["a.mp4.json"] == tree(tmp_path / "out")


def test_files_and_plain_tasks_are_written_as_well(tmp_path: Path) -> None:
    """What has no source is called by its id."""
    file = FileTask(id="f", source="a.bin", path="/in/a.bin", size=3, mtime_ns=5)
    assert [] == write(tmp_path, [file]).failed
    record = {"id": "f", "source": "a.bin", "path": "/in/a.bin", "size": 3, "mtime_ns": 5}
    assert record == json.loads((tmp_path / "out" / "a.bin.json").read_bytes())
    assert [] == write(tmp_path, [Task(id="only an id")]).failed
    assert {"id": "only an id"} == json.loads((tmp_path / "out" / "only an id.json").read_bytes())


def test_what_a_command_made_is_written(tmp_path: Path) -> None:
    """Its values, and its files under their own names; a folder file by file."""
    (tmp_path / "stages" / "x" / "data" / "deep").mkdir(parents=True)
    (tmp_path / "stages" / "x" / "data" / "deep" / "1").write_text("one")
    (tmp_path / "stages" / "x" / "0.png").write_text("png")
    files = {"mask": File("x/0.png"), "data": File("x/data")}
    task = Record(id="r", values={"source": "a.mp4", "map": 0.5}, files=files)
    assert [] == write(tmp_path, [task], layout="folder").failed
    assert ["a.mp4/data/deep/1", "a.mp4/mask.png", "a.mp4/record.json"] == tree(tmp_path / "out")
    assert {
        "id": "r", "values": {"map": 0.5, "source": "a.mp4"}, "files": {"data": "data", "mask": "mask.png"},
    } == json.loads((tmp_path / "out" / "a.mp4" / "record.json").read_bytes())  # fmt: skip


@attrs.define(kw_only=True)
class Deep(Task):
    """Files where nobody would look for a name."""

    pages: list[list[File]] = attrs.Factory(list)


@attrs.define(kw_only=True)
class Twice(Task):
    """Two files of one name."""

    masks: dict[str, File] = attrs.Factory(dict)
    other: File | None = attrs.field(default=None)


def test_a_class_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """With its field, and what to do; a pattern with a field that it has not, as well."""
    with pytest.raises(PipelineError, match=r"Deep: pages holds files deeper than .*internal\(\)"):
        WriteItems(str(tmp_path)).accept(Deep)
    with pytest.raises(PipelineError, match=r"name=\{relative\}.\{start\}: a Caption has no field 'start'"):
        WriteItems(str(tmp_path), name="{relative}.{start}").accept(Caption)
    with pytest.raises(PipelineError, match="input_files=true: a Caption has no field `path` or `files`"):
        WriteItems(str(tmp_path), input_files=True).accept(Caption)
    for kind in (FileTask, Record):
        WriteItems(str(tmp_path), input_files=True).accept(kind)


@attrs.define(kw_only=True)
class Renamed(Task):
    """A field that takes the place of the id."""

    number: int = attrs.field(default=0, metadata=output("id"))


def test_a_record_has_the_id_of_its_task(tmp_path: Path) -> None:
    """Nothing else is written as that: it says whose result it is."""
    with pytest.raises(PipelineError, match="Renamed: number is written as 'id', which names the task itself"):
        WriteItems(str(tmp_path)).accept(Renamed)
    WriteItems(str(tmp_path)).accept(ImageTask)  # which has it as a column


def test_a_folder_each_beside_the_files_themselves(tmp_path: Path) -> None:
    """A file is no folder: that is said with a name that does; also where a folder has the name of a record."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mp4").touch()
    (failed,) = write(tmp_path, [caption(tmp_path, "a.mp4")], layout="folder").failed
    assert "is a file or lies in one" in failed["message"]
    assert "name='{parent}/{stem}'" in failed["message"]
    assert [] == write(tmp_path, [caption(tmp_path, "a.mp4")], layout="folder", name="{parent}/{stem}").failed
    assert (tmp_path / "out" / "a" / "record.json").exists()
    (tmp_path / "out" / "b.mp4.json").mkdir()
    (failed,) = write(tmp_path, [caption(tmp_path, "b.mp4")]).failed
    assert "Is a directory" in failed["message"]


def test_keys_that_lead_out_are_refused(tmp_path: Path) -> None:
    """The name of a file may come from data."""
    caption(tmp_path, "x")
    (failed,) = write(tmp_path, [Twice(id="t", masks={"/../../up": File("x/0.png")})]).failed
    assert "is no path below the output" in failed["message"]
    assert [] == tree(tmp_path / "out") if (tmp_path / "out").exists() else True


def test_a_record_comes_after_its_files(tmp_path: Path) -> None:
    """Where a file is missing there is no record, which would count as done."""
    task = caption(tmp_path, "a.mp4", masks=[File("x/gone.png")])
    (failed,) = write(tmp_path, [task]).failed
    assert "gone.png" in failed["message"]
    assert not (tmp_path / "out" / "a.mp4.json").exists()
