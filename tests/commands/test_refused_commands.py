"""What could never run is refused before anything is written, with what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_stages import Number

import hpcurate
from hpcurate import Chain, Command, Record, Stage, Task
from hpcurate.errors import ConfigError, PipelineError
from hpcurate.planning.build import Step, build
from hpcurate.programs.placeholders import filled, names_in
from hpcurate.source import Items

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a line of a shell": ({"argv": "ffmpeg -i x"}, "as no shell takes it apart: ['ffmpeg', '-i', 'x']"),
    "empty": ({"argv": []}, 'argv: a list of arguments is expected, the program first: ["ffmpeg"'),
    "an empty program": ({"argv": [""]}, "argv: a list of arguments is expected"),
    "no text": ({"argv": ["a", ["b"]]}, "argv[1]=['b']: a text or a number is expected"),
    "a null byte": ({"argv": ["a\0"]}, "a text or a number is expected"),
    "a brace": ({"argv": ["a", '{"b": 1}']}, '{"b": 1} is no placeholder such as {path}; a brace itself is written twice'),
    "an open brace": ({"argv": ["a", "{path"]}, "{ is no placeholder such as {path}"),
    "no such output": ({"argv": ["a", "{out.clip}"], "outputs": {"clips": "c"}}, "{out.clip}: there is no such output; did"),
    "an output that is not named": ({"argv": ["a"], "outputs": {"clip": "c"}}, "outputs.clip: the program does not get"),
    "an output elsewhere": ({"argv": ["a"], "outputs": {"clip": "/c"}}, "outputs.clip='/c': a relative path is expected"),
    "an output above": ({"argv": ["a"], "outputs": {"clip": "../c"}}, "outputs.clip='../c': a relative path is expected"),
    "one path twice": ({"argv": ["a"], "outputs": {"b": "c", "d": "c/"}}, "outputs: two of them have one path"),
    "one within another": ({"argv": ["a"], "outputs": {"b": "c/d", "d": "c/"}}, "outputs.b: 'c/d' lies within outputs.d"),
    "a name that is taken": ({"argv": ["a"], "outputs": {"cpus": "c"}}, "outputs.cpus: that name is taken"),
    "no name": ({"argv": ["a"], "values": {"f-1": "int"}}, "values.f-1: letters, digits and _ make a name"),
    "value and output": ({"argv": ["a"], "values": {"b": "int"}, "outputs": {"b": "c"}}, "outputs.b: a value has that name"),
    "an unknown type": ({"argv": ["a"], "values": {"f": "number"}}, "values.f='number': there is no such type; there are: int,"),
    "values that are not named": ({"argv": ["a"], "values": {"f": "int"}}, "put {values} in argv"),
    "values that are not declared": ({"argv": ["a", "{values}"]}, "argv: {values}: declare them"),
    "values of a batch": ({"argv": ["a", "{tasks}", "{values}"], "values": {"f": "int"}}, "values stand in the lines of"),
    "a class that is not returned": ({"argv": ["a"], "returns": "m:C"}, "put {returned} in argv"),
    "code 0": ({"argv": ["a"], "drop_on": [0]}, "drop_on=0: exit codes from 1 to 255 can drop"),
    "no list of codes": ({"argv": ["a"], "drop_on": 3}, "drop_on: Expected `list | null`, got `int`; type [3]"),
    "no mapping": ({"argv": ["a"], "outputs": ["c"]}, "Expected `mapping | null`, got `list`; type {NAME: …}"),
    "no quotes in YAML": ({"argv": ["a", {"path": None}]}, "argv[1]={'path': None}: a text or a number is expected; write \"{path}\""),
    "no code": ({"argv": ["a"], "drop_on": ["x"]}, "drop_on: Expected `int`"),
    "a script that is not there": ({"argv": ["python", "tools/trian.py"]}, "argv[1]='tools/trian.py': there is no such file"),
    "a program that is not there": ({"argv": ["./run"]}, "argv[0]='./run': there is no such file"),
    "a further file that is not there": ({"argv": ["a"], "files": ["b.yaml"]}, "files: 'b.yaml': there is no such file"),
    "a further file elsewhere": ({"argv": ["a"], "files": ["/etc/hosts"]}, "files: '/etc/hosts': a path below the folder"),
    "a name in a script": ({"argv": ["bash", "-ec", "wc -l {path}"]}, "argv[2]: bash would take {path} apart"),
    "an unknown parameter": ({"argv": ["a"], "out": {}}, "unexpected keyword argument 'out'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_command_that_can_never_run_is_refused(name: str) -> None:
    """Where it is written."""
    given, message = WRONG[name]
    with pytest.raises((ConfigError, PipelineError)) as refused:
        Command(**given)
    assert message in str(refused.value)


def test_placeholders() -> None:
    """Two braces are one."""
    text = "{a}{{b}}{out.c}-{a}"
    assert ("a", "out.c", "a") == names_in(text)
    assert "A{b}OUT.C-A" == filled(text, str.upper)


class Renames(Stage[Record, Record]):
    """A user's own stage for what commands return."""

    version = 1

    def process(self, tasks: list[Record]) -> list[Record]:
        """What its names are is not known."""
        return tasks


def planned(*stages: Stage[Any, Any], task: Task | None = None) -> None:
    """Build a pipeline of these stages, one after the other."""
    build("p", Items((task or Number(id="a", value=1),)), {f"s{n}": Step(stage) for n, stage in enumerate(stages)})


MEASURE = {"argv": ["a", "{values}", "{out.map}"], "values": {"score": "float"}, "outputs": {"map": "m"}}


def test_names_are_known_along_the_pipeline() -> None:
    """Fields of the source's tasks, then what each command adds, also within a chain; of a user's records, nothing."""
    planned(Command(["a", "{value}"]), Command(**MEASURE), Command(["a", "{value}", "{score}", "{map}", "{id}"]))
    planned(Chain([Command(**MEASURE), Command(["a", "{score}"])]), Command(["a", "{map}"]))
    planned(Command(**MEASURE), Renames(), Command(["a", "{anything}"]))
    planned(Command(["a", "{returned}"]), Command(["a", "{anything}"]))


def test_a_name_that_stands_for_nothing_is_refused() -> None:
    """With the nearest one, and all there are."""
    with pytest.raises(PipelineError) as refused:
        planned(Command(**MEASURE), Command(["a", "{scor}"]))
    there = "{id}, {map}, {note}, {parents}, {score}, {value}, {weight}, {values}, {tasks}, {returned}, {cpus}"
    start = f"stages.s1: argv: {{scor}} stands for nothing; did you mean 'score'? there are: {there}"
    assert start == str(refused.value)[: len(start)]


def test_a_program_that_is_not_here_is_refused(tmp_path: Path) -> None:
    """Before anything is written, where it would run in this environment."""
    for argv, message in (
        (["no-such-program"], "stages.command: argv[0]='no-such-program': there is no such program in PATH"),
        (["python", "-m", "tols.train"], "stages.command: argv: python -m tols.train: there is no such module here"),
    ):
        with pytest.raises(PipelineError) as refused:
            hpcurate.run([Command(argv)], [Number(id="a", value=1)], store=tmp_path / "store", launcher="inline")
        assert str(refused.value).startswith(message)
    assert not (tmp_path / "store").exists()
