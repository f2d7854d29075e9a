"""A program as a stage, on the launchers of one machine."""

from __future__ import annotations

from pathlib import Path

from engine_stages import Number

import hpcurate
from hpcurate import Command, File
from hpcurate.runs.state import RunState

WRITES = (
    "import json, sys; open(sys.argv[2], 'w').write(sys.argv[1] * 2); "
    "json.dump({{'kind': 'number'}}, open(sys.argv[3], 'w'))"
)
JOINS = "import sys; open(sys.argv[2], 'w').write(sys.argv[1])"


def test_what_a_program_writes_is_there_for_the_next(tmp_path: Path) -> None:
    """Outputs are files and values of a Record, which carries on what came in; a later command names all of it."""
    steps = {
        "double": Command(
            argv=["python", "-c", WRITES, "{value}", "{out.text}", "{values}"],
            outputs={"text": "text.txt"},
            values={"kind": "str"},
        ),
        "check": Command(argv=["grep", "-q", "^1", "{text}"], drop_on=[1]),
        "join": Command(argv=["python", "-c", JOINS, "{kind}", "{out.all}"], outputs={"all": "a.txt"}, gather=True),
    }
    numbers = [Number(id="a", value=1), Number(id="b", value=2), Number(id="c", value=10)]
    done = hpcurate.run(steps, numbers, store=tmp_path, launcher="inline")
    assert RunState.COMPLETE is done.state
    doubled = {task.id: (task.values, Path(task.files["text"]).read_text()) for task in done.tasks("double")}
    assert [("number", 1, "11"), ("number", 2, "22"), ("number", 10, "1010")] == [
        (values["kind"], values["value"], text) for values, text in doubled.values()
    ]
    assert ["a", "c"] == [task.id for task in done.tasks("check")]
    assert ["grep: exit code 1"] == [row["reason"] for row in done.dropped("check")]
    (joined,) = done.tasks("join")
    assert isinstance(joined.files["all"], File)
    assert "number" == Path(joined.files["all"]).read_text() == joined.values["kind"]
    assert "value" not in joined.values, "the tasks differ in it"
