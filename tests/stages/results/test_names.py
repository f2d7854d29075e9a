"""What a result is called: by its task's fields, and never a path out of the output."""

from __future__ import annotations

from typing import Any

import pytest
from captioned import Caption

from hpcurate import FileTask, Record, Task
from hpcurate.errors import ConfigError, PipelineError, StageError
from stages.results.names import check_known, check_pattern, checked_path, item_name

TASK = Caption(id="7", source="a/b c.mp4", caption="x")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{relative}", "a/b c.mp4"),
        ("{parent}/{stem}", "a/b c"),
        ("{name}.{id}", "b c.mp4.7"),
        ("{caption}/{id:0>3}", "x/007"),
    ],
)
def test_a_name_is_made_of_fields(pattern: str, name: str) -> None:
    """Those of `done=`, and those of the task."""
    assert name == item_name(TASK, check_pattern(pattern))


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (Task(id="7"), "7"),
        (Record(id="7", values={"source": "a/b.mp4"}), "a/b.mp4"),
        (Caption(id="7", source="\udcff\n.mp4"), "\udcff\n.mp4"),
        (Caption(id="7", source="{id}"), "{id}"),
    ],
)
def test_what_the_item_is_called(task: Task, name: str) -> None:
    """By its source, also where a command has carried it on; else by its id. Nothing in it is a pattern."""
    assert name == item_name(task, "{relative}")


def test_a_parent_that_is_the_input_itself_is_no_folder() -> None:
    """`{parent}` of what lies in the input is `.`, as in `done=`."""
    assert "b" == item_name(Caption(id="7", source="b.mp4"), "{parent}/{stem}")


@pytest.mark.parametrize("path", ["", "/etc/x", "..", "a/../b", "../x", "a//b", "a/", "./a", "a\0b", "a/" + "b" * 256])
def test_a_path_that_is_none_below_the_output_is_refused(path: str) -> None:
    """Whatever a task is called."""
    with pytest.raises(StageError, match="give results another name"):
        checked_path(path)


@pytest.mark.parametrize("pattern", ["", "plain", "{", "{}", "{0}", "{a.b}", "{a[0]}", "{relative"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """Before anything runs: also what reaches into values."""
    with pytest.raises(ConfigError, match="name="):
        check_pattern(pattern)


@pytest.mark.parametrize(("kind", "known"), [(Caption, False), (FileTask, True), (Record, True)])
def test_a_field_that_the_tasks_have_not_is_refused(kind: Any, known: bool) -> None:
    """With what they have; a record of a command may have any value."""
    if known:
        check_known("{relative}.{size}", kind)
    else:
        with pytest.raises(PipelineError, match=r"a Caption has no field 'size'; .*source"):
            check_known("{relative}.{size}", kind)


def test_a_value_that_does_not_fit_its_format_is_the_tasks_fault() -> None:
    """Named with the pattern."""
    with pytest.raises(StageError, match=r"name=\{caption:05d\}: task 7: "):
        item_name(TASK, "{caption:05d}")
