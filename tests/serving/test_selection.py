"""Which stages a request goes through, and which of them share a process."""

from __future__ import annotations

import pytest
from group_stages import Add, Labelled
from serving_stages import All, Reverse, Shout

from hpcurate.command import Command
from hpcurate.errors import PipelineError
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.serving.selection import grouped, on_the_way
from hpcurate.stage import Chain, Stage


class Published(Shout):
    """Writes outside."""

    publishes = True


def step(stage: Stage[object, object], **options: object) -> Step:  # type: ignore[type-var]
    """An entry."""
    return Step(stage, StageOptions(**options))  # type: ignore[arg-type]


STEPS = {
    "shout": step(Shout()),
    "pair": step(Chain([Reverse(), Shout()])),
    "more": step(Reverse()),
    "all": step(All()),
    "late": step(Reverse()),
}
NAMES = {"pair": ["turn", "again"]}


def keys(stage: str | None = None, steps: dict[str, Step] | None = None) -> list[str]:
    """Of the stages on the way."""
    return [part.key for part in on_the_way(steps or STEPS, (), NAMES, stage)]


def test_up_to_the_stage_that_is_named() -> None:
    """A step, a chain, or a member of one; without a name, the last that takes task by task."""
    assert ["shout"] == keys("shout")
    assert ["shout", "turn", "again"] == keys("pair")
    assert ["shout", "turn"] == keys("turn")
    assert ["shout", "turn", "again", "more"] == keys()


def test_a_branch_goes_its_own_way() -> None:
    """Only what is above the stage counts."""
    steps = {"a": step(Shout()), "b": step(Reverse(), after=["a"]), "c": step(Shout(), after=["a"])}
    assert ["a", "c"] == keys("c", steps)


@pytest.mark.parametrize(
    ("stage", "steps", "said"),
    [
        ("nothing", STEPS, "nothing: there is no such stage; there are: shout, pair, more, all, late, turn, again"),
        ("all", STEPS, "stages.all: waits for all tasks of a run, so a request by itself cannot go through it"),
        ("late", STEPS, "stages.all: waits for all tasks of a run"),
        ("add", {"add": step(Add())}, "stages.add: gets whole groups of tasks"),
        (
            None,
            {"all": step(All())},
            "stages.all: waits for all tasks of a run; no stage of this pipeline takes task by",
        ),
        ("out", {"out": step(Published())}, "stages.out: writes into the output of a run"),
        (
            "x",
            {"m": step(All()), "x": step(Reverse().with_results(sep="m.word"), after=[])},
            "stages.x: has a parameter that is the result of another stage",
        ),
        (
            "c",
            {"a": step(Shout()), "b": step(Shout(), after=[]), "c": step(Reverse(), after=["a", "b"])},
            "stages.c: reads a and b, and a request goes one way",
        ),
    ],
)
def test_where_no_request_comes(stage: str | None, steps: dict[str, Step], said: str) -> None:
    """It is refused, and why."""
    with pytest.raises(PipelineError) as caught:
        keys(stage, steps)
    assert str(caught.value).startswith(said)


def test_neighbours_with_one_environment_are_one_chain() -> None:
    """With the largest of what each needs; another environment or device is another process."""
    steps = {
        "a": step(Shout(), resources={"memory": "3GB"}),
        "b": step(Reverse(), resources={"cpus": 2}),
        "c": step(Reverse(), env="other"),
        "d": step(Shout(), env="other", resources={"gpus": 1}),
        "e": step(Shout(), env="other", resources={"gpus": 1}, device="cpu"),
    }
    found = grouped(on_the_way(steps, (), {}))
    assert ["b", "c", "d", "e"] == list(found)
    assert isinstance(found["b"].stage, Chain)
    assert (2, "3GB") == (found["b"].options.resources["cpus"], found["b"].options.resources["memory"])
    assert isinstance(found["c"].stage, Reverse)


def test_a_command_may_be_on_the_way() -> None:
    """It takes task by task."""
    assert ["run"] == keys(None, {"run": step(Command(argv=["true"]))})
    assert Labelled(id="1", label="a").label == "a"
