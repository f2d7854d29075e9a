"""From what is given to a task, and from rows to what is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from serving_stages import Word

from hpcurate import File, FileTask, Task
from hpcurate.errors import PipelineError
from hpcurate.serving.fields import inputs_of
from hpcurate.serving.served import Field, Given, Upload
from hpcurate.serving.service import Unfit
from hpcurate.serving.tasks import outcome_of, plain_values, task_of
from hpcurate.source import FolderTask, GroupTask
from hpcurate.store.rows import codec


@attrs.define(kw_only=True)
class Clip(FileTask):
    """A file, and what is not needed."""

    title: str = ""


@attrs.define(kw_only=True)
class Deep(Task):
    """Files at any depth."""

    first: File
    several: list[File] = attrs.field(factory=list)
    named: dict[str, File] = attrs.field(factory=dict)
    path: str = ""


def given(folder: Path, name: str = "a.mp4", **inputs: Any) -> Given:
    """A request with a file."""
    (folder / "0.mp4").write_bytes(b"123")
    upload = Upload(path=str(folder / "0.mp4"), name=name, size=3)
    return Given(id="f" * 32, folder=str(folder), inputs=inputs, files={"file": upload})


def test_a_task_that_is_a_file(tmp_path: Path) -> None:
    """As its source would have made it, named as its sender called it."""
    fields = inputs_of(Clip, (".mp4", ".mov"))
    assert [("file", "file", True, (".mp4", ".mov"))] == [(f.key, f.kind, f.required, f.suffixes) for f in fields]
    task = task_of(Clip, given(tmp_path, "C:\\videos\\../\0a\u202eb.mp4"), fields)
    assert isinstance(task, Clip)
    assert ("f" * 32, "�a�b.mp4", str(tmp_path / "0.mp4"), 3) == (task.id, task.source, task.path, task.size)


@pytest.mark.parametrize("value", ["/etc/passwd", "file:///etc/passwd", "http://localhost/x", {"path": "/etc/passwd"}])
def test_a_file_is_uploaded_and_nothing_else(tmp_path: Path, value: Any) -> None:
    """No path of this machine, and no address that it would ask."""
    with pytest.raises(Unfit) as caught:
        task_of(Clip, Given(id="1", folder=str(tmp_path), inputs={"file": value}), inputs_of(Clip))
    assert {
        "file": "needs a file that is uploaded with the request: a path or an address is none"
    } == caught.value.problems


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    """By the name that it was given under."""
    with pytest.raises(Unfit, match=r"file: 'a\.mp4': expected a name that ends in \.mov"):
        task_of(Clip, given(tmp_path), inputs_of(Clip, (".mov",)))
    with pytest.raises(Unfit, match="title: there is no such field; the one there is: file"):
        task_of(Clip, given(tmp_path, title="x"), inputs_of(Clip))


@pytest.mark.parametrize("kind", [FolderTask, GroupTask])
def test_tasks_that_name_places_are_not_served(kind: type[Task]) -> None:
    """A request could name any file of this machine."""
    with pytest.raises(PipelineError, match="which names places on this machine"):
        inputs_of(kind)


FIELDS = (
    Field(key="whole", kind="integer"), Field(key="real", kind="number"), Field(key="yes", kind="boolean"),
    Field(key="one", kind="choice", choices=("a", 2)), Field(key="free", kind="json"), Field(key="say", kind="text"),
)  # fmt: skip


def test_texts_of_a_form_are_values() -> None:
    """As their fields are; what is empty is left out, but for a text."""
    texts = {"whole": "3", "real": " 0.5", "yes": "true", "one": "2", "free": "[1, {}]", "say": ""}
    assert {"whole": 3, "real": 0.5, "yes": True, "one": 2, "free": [1, {}], "say": ""} == plain_values(
        texts, FIELDS, "field"
    )
    assert {} == plain_values({"whole": "", "yes": " "}, FIELDS, "field")
    with pytest.raises(Unfit) as caught:
        plain_values({"whole": "x", "yes": "maybe", "one": "3", "free": "{", "way": 1}, FIELDS, "field")
    assert {"whole", "yes", "one", "free", "way"} == caught.value.problems.keys()


def test_values_of_the_wrong_type() -> None:
    """Each is named; so is what no row can hold."""
    request = Given(id="1", folder="", inputs={"word": 3, "size": "7"})
    with pytest.raises(Unfit, match="word: Expected `str`, got `int`, got 3"):
        task_of(Word, request, inputs_of(Word))
    task = task_of(Word, Given(id="1", folder="", inputs={"word": "a", "size": "7"}), inputs_of(Word))
    assert isinstance(task, Word)
    assert (7, "1") == (task.size, task.id)


def test_files_of_a_result_are_known_by_number(tmp_path: Path) -> None:
    """At any depth; no path of this machine is in what is answered."""
    for name in ("a.mp4", "b.txt", "c"):
        (tmp_path / name).write_text(name)
    one, two, three = (File(f"{tmp_path.name}/{name}") for name in ("a.mp4", "b.txt", "c"))
    task = Deep(id="1", first=one, several=[two], named={"x": three}, path=f"{tmp_path}/in/0.mp4")
    (plain,), files = outcome_of(Deep, str(tmp_path), codec(Deep).encode(task) + b"\n")
    assert {"file": 0, "name": "a.mp4", "media": "video/mp4"} == plain["first"]
    assert ([2], 1) == ([one["file"] for one in plain["several"]], plain["named"]["x"]["file"])
    assert "in/0.mp4" == plain["path"]
    assert ["first", "named", "several"] == [file.field for file in files]
    assert "b.txt" == Path(files[2].path).read_text()
