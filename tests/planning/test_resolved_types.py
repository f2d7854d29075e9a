"""Which class of tasks each stage is given and gives: a subclass passes the stages that are written for its base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from unit_stages import Marked, Named, Number, Other, Signed, ToOther, chain, numbers

import hpcurate
from hpcurate import Chain, Command, Stage, Task
from hpcurate.errors import PipelineError
from hpcurate.members import resolved_types
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Pipeline
from hpcurate.source import Items, Once
from hpcurate.spec import StageSpec
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.main import construct
from hpcurate.stage_process.messages import Hello
from hpcurate.testing import try_stage


class Keep(Stage[Number, Number]):
    """Passes numbers on."""

    def process(self, tasks: list[Number]) -> list[Number]:
        """The same."""
        return tasks


class KeepAny(Stage[Task, Task]):
    """Passes anything on."""

    def process(self, tasks: list[Task]) -> list[Task]:
        """The same."""
        return tasks


class Gather(Stage[Number, Number]):
    """Says what it was given, even if that is nothing."""

    gather = True

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, tasks: list[Number]) -> list[Number]:
        """Write the names of the classes."""
        Path(self.output).write_text(" ".join(kind.__name__ for kind in self.task_types))
        return tasks


class DropAll(Stage[Number, Number]):
    """Passes nothing on."""

    def process(self, tasks: list[Number]) -> list[Number]:
        """Nothing."""
        return []


class Mark(Stage[Number, Marked]):
    """Adds a field."""

    def process(self, tasks: list[Number]) -> list[Marked]:
        """A child each."""
        return [self.child(t, Marked, id=t.id, value=t.value, mark="m") for t in tasks]


class Sign(Stage[Marked, Signed]):
    """Adds another."""

    def process(self, tasks: list[Marked]) -> list[Signed]:
        """A child each."""
        return [self.child(t, Signed, value=t.value, mark=t.mark, sign=1) for t in tasks]


class Name(Stage[Number, Named]):
    """Adds one to the number alone."""


class NameAny(Stage[Task, Named]):
    """Makes named numbers of anything, and means it."""


class Forgets(Stage[Number, Number]):
    """Makes plain numbers of whatever comes in."""

    def process(self, tasks: list[Number]) -> list[Number]:
        """New ones."""
        return [self.child(task, Number, value=task.value) for task in tasks]


def after(stage: Stage[Any, Any], *names: str) -> Step:
    """A step that follows these."""
    return Step(stage, StageOptions(after=list(names)))


def pipeline(tasks: list[Number] | None = None, **nodes: Step | Stage[Any, Any]) -> Pipeline:
    """A pipeline of these stages."""
    made = {name: node if isinstance(node, Step) else Step(node) for name, node in nodes.items()}
    return build("test", Items(tasks or numbers(1, 2)), made)


def takes(built: Pipeline) -> dict[str, str]:
    """The class that each stage's process is told to read, without its module."""
    return {stage.name: stage.takes.partition(":")[2] for stage in built.stages}


@pytest.mark.parametrize(
    ("stage", "given", "expected"),
    [
        (Keep(), Number, [(Number, Number)]),
        (Keep(), Signed, [(Signed, Signed)]),
        (KeepAny(), Marked, [(Marked, Marked)]),
        (Mark(), Number, [(Number, Marked)]),
        (Mark(), Signed, [(Signed, Marked)]),
        (NameAny(), Marked, [(Marked, Named)]),
        (chain(Keep(), Mark(), Keep(), Sign(), KeepAny()), Number,
         [(Number, Number), (Number, Marked), (Marked, Marked), (Marked, Signed), (Signed, Signed)]),
        (chain(Chain([Keep(), Mark()]), Chain([Keep()])), Number, [(Number, Number), (Number, Marked), (Marked, Marked)]),
    ],
)  # fmt: skip
def test_what_a_stage_takes_and_gives(stage: Stage[Any, Any], given: type, expected: list[tuple[type, type]]) -> None:
    """It gives the class that came in where it declares to return what it takes, else what it declares."""
    assert expected == resolved_types(stage, given)


def test_a_class_travels_until_a_stage_makes_another() -> None:
    """Only where a process could not know it from the stage is it written into the plan."""
    built = pipeline(keep=Keep(), mark=Mark(), more=Keep(), sign=Sign(), last=chain(Keep(), KeepAny()), other=ToOther())
    assert takes(built) == {
        "keep": "", "mark": "", "more": "Marked", "sign": "", "last": "Signed", "other": "Signed",
    }  # fmt: skip
    assert takes(pipeline([Marked(id="a", value=1)], keep=Keep())) == {"keep": "Marked"}


def test_several_upstreams_give_one_class() -> None:
    """A diamond of stages that add the same is read; one that adds on one side alone is refused, with both classes."""
    both = {"left": after(Mark(), "keep"), "right": after(Mark(), "keep"), "join": after(Keep(), "left", "right")}
    assert takes(pipeline(keep=Keep(), **both))["join"] == "Marked"
    with pytest.raises(PipelineError, match=r"stages.join.after: left gives Marked, right gives Number; .* one class"):
        pipeline(keep=Keep(), **{**both, "right": after(Keep(), "keep")})


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ({"a": Sign()}, "stages.a takes Marked, but the source gives Number; put a stage between them"),
        ({"a": Keep(), "b": Sign()}, "stages.b takes Marked, but a gives Number; put a stage between them"),
        ({"a": chain(Keep(), Name(), Sign())}, "stages.a (Sign) takes Marked, but Name gives Named"),
    ],
)
def test_a_base_where_a_subclass_is_needed_is_refused(nodes: dict[str, Any], said: str) -> None:
    """Both neighbours are named, in a chain by the class of the member."""
    with pytest.raises(PipelineError) as caught:
        pipeline(**nodes)
    assert str(caught.value).startswith(said)


def test_a_stage_that_would_lose_anothers_fields_is_refused() -> None:
    """Two stages that each add to the number: the second one's class derives from the first one's. Or it says so."""
    with pytest.raises(PipelineError) as caught:
        pipeline(mark=Mark(), keep=Keep(), name=Name())
    assert str(caught.value) == (
        "stages.name is given Marked and gives Named, which has no field 'mark'; write class Named(Marked), or, if it "
        "is not needed any more, Name(Stage[Task, Named])"
    )
    with pytest.raises(PipelineError, match=r"stages.both is given Marked and gives Named"):
        pipeline(both=chain(Mark(), Name()))
    assert takes(pipeline(mark=Mark(), name=NameAny(), keep=Keep()))["keep"] == "Named"


def test_another_class_upstream_is_another_folder() -> None:
    """Though no type is in a fingerprint: the upstream's identity covers it."""
    plain = pipeline(first=Keep(), last=Keep()).stages[-1]
    marked = pipeline(first=Mark(), last=Keep()).stages[-1]
    given = pipeline([Marked(id="1", value=1)], first=Keep(), last=Keep()).stages[-1]
    assert len({plain.folder, marked.folder, given.folder}) == 3


def test_a_class_that_no_process_can_import_is_refused() -> None:
    """Before anything starts; where the stage declares the class itself, nothing needs its name."""

    @attrs.define(kw_only=True)
    class Local(Number):
        pass

    with pytest.raises(PipelineError, match=r"stages.keep is given .*Local, which a stage process has to import"):
        pipeline([Local(id="a", value=1)], keep=Keep())


def test_a_class_that_cannot_be_imported_in_the_stages_environment_is_named() -> None:
    """Such as one in a module that imports what only its own stage's environment has."""
    spec = StageSpec(f"{__name__}:Keep")
    hello = Hello(
        stage="keep", spec=spec, takes="not_here:Mine", worker=WorkerInfo(index=0, process=0, cpus=1), weights={},
        node_setup="", node_folder="", variables={},
    )  # fmt: skip
    with pytest.raises(PipelineError, match=r"cannot import class of tasks 'not_here:Mine'.*keep is given these tasks"):
        construct(hello)


def test_a_trial_takes_the_class_of_its_tasks(tmp_path: Path) -> None:
    """As the engine does; tasks of two classes are refused."""
    outcome = try_stage(chain(Keep(), KeepAny()), [Marked(id="a", value=1, mark="x")], tmp_path / "one")
    assert outcome.tasks == [Marked(id="a", value=1, mark="x")]
    with pytest.raises(PipelineError, match="tasks of one class are expected, got Marked, Number"):
        try_stage(Keep(), [Marked(id="a", value=1), *numbers(1)], tmp_path / "two")
    with pytest.raises(PipelineError, match="Sign takes Marked, but its input gives Number"):
        try_stage(Sign(), numbers(1), tmp_path / "three")


def test_a_stage_that_forgets_the_users_class_is_told_so(tmp_path: Path) -> None:
    """Both classes are named, and what to do."""
    failed = try_stage(Forgets(), [Marked(id="a", value=1)], tmp_path).failed
    assert "Forgets returned a Number and was given a Marked: change the tasks that came in" in failed[0]["message"]
    assert "type(task)" in failed[0]["message"]


def test_the_class_reaches_the_stages(tmp_path: Path) -> None:
    """Its fields are in the rows after stages that do not know them; a gather that gets nothing knows the class.

    That it reaches other processes is seen in `test_engine` and on Slurm: the input of `support/drive.py` is a subclass.
    """
    out = tmp_path / "out"
    steps = {
        "mark": Mark(),
        "keep": KeepAny(),
        "none": DropAll(),
        "all": Gather(str(out)),
        "sign": after(Sign(), "keep"),
    }
    small = {"memory": "100MB"}
    made = {n: msgspec.structs.replace(s if isinstance(s, Step) else Step(s), options=attrs.evolve(
        s.options if isinstance(s, Step) else StageOptions(), resources=small)) for n, s in steps.items()}  # fmt: skip
    hpcurate.run(made, numbers(1, 2), store=tmp_path / "store", launcher="inline")
    found = (tmp_path / "store").glob("stages/sign-*/shards/*/*/tasks.jsonl")
    assert [json.loads(row)["mark"] for rows in found for row in rows.read_text().splitlines()] == ["m", "m"]
    assert out.read_text() == "Marked Marked"


def test_what_goes_out_may_be_another_class_although_what_comes_in_is_as_declared() -> None:
    """A command that is given plain tasks returned a Record where its process had heard of nothing but tasks."""
    command = Command(argv=["touch", "{out.a}"], outputs={"a": "a"})
    stages = build("p", Once(), {"first": Step(command), "second": Step(command)}).stages
    assert ["hpcurate.task:Task", "hpcurate.task:Record"] == [stage.takes for stage in stages]


def test_other_classes_are_no_subclasses() -> None:
    """Even if they have the same fields."""
    with pytest.raises(PipelineError, match="takes Number, but its input gives Other"):
        resolved_types(Keep(), Other)
