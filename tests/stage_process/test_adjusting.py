"""Another value of a parameter for a stage that is set up."""

from __future__ import annotations

import random
from functools import cached_property
from typing import Any

import pytest
from checkout import ROOT
from serving_stages import Reverse, Shout

from hpcurate.errors import PipelineError
from hpcurate.stage import Chain, Stage, WorkerInfo, constructor
from hpcurate.stage_process.adjusting import adjust, can_adjust


def set_up(stage: Shout) -> Shout:
    """Set up."""
    stage.setup(WorkerInfo(index=0, process=0, cpus=1))
    return stage


def test_what_is_adjustable_is_taken_and_what_was_set_up_stays() -> None:
    """In a chain, too; a stage without `setup` takes everything."""
    shout = set_up(Shout("!", 1))
    before, fresh = shout.process_id, Chain([Shout("?", 1), Reverse("-")])
    chain = Chain([shout, Reverse()])
    assert can_adjust(chain, fresh)
    adjust(chain, fresh)
    assert ("?", "-", before) == (shout.mark, chain.stages[1].sep, shout.process_id)  # type: ignore[attr-defined]
    assert {"mark": "?", "base": 1} == shout.arguments()


def test_what_set_up_reads_is_refused() -> None:
    """And nothing of it is taken."""
    shout = set_up(Shout("!", 1))
    assert not can_adjust(shout, Shout("?", 2))
    with pytest.raises(PipelineError, match=r"Shout\.base needs a new set-up"):
        adjust(shout, Shout("?", 2))
    assert ("!", 1) == (shout.mark, shout.base)


def test_other_stages_are_no_other_parameters() -> None:
    """Of another class, or more of them."""
    assert not can_adjust(Shout(), Reverse())
    assert not can_adjust(Chain([Shout()]), Chain([Shout(), Reverse()]))


class Kept(Shout):
    """What it has made of a parameter when it was first asked."""

    setup = Stage.setup

    def __init__(self, any_value: Any = 1, note: str | None = "none") -> None:
        """Keep them."""
        super().__init__()
        self.any_value, self.note = any_value, note

    @cached_property
    def made(self) -> str:
        """Of them."""
        return f"{self.any_value!r} {self.note!r}"


def test_back_and_forth_it_is_always_as_if_new() -> None:
    """Whatever was given before: defaults again, null, values that are equal and of other types."""
    dice, stage = random.Random(19), Kept()
    for _ in range(200):
        given = {
            "any_value": dice.choice([1, True, 1.0, None, "1", [1], [True]]),
            "note": dice.choice([None, "", "none"]),
        }
        given = {name: value for name, value in given.items() if dice.random() < 0.7}
        fresh = Kept(**given)
        adjust(stage, fresh)
        assert fresh.made == stage.made


def test_null_is_a_value_and_true_is_not_one() -> None:
    """Where they would need a new set-up, too."""

    class SetUp(Kept):
        setup = Shout.setup  # type: ignore[assignment]

    assert not can_adjust(SetUp(), SetUp(note=None))
    assert not can_adjust(SetUp(1), SetUp(True))
    assert can_adjust(SetUp(), SetUp(1, "none"))


def shipped() -> list[type[Stage[object, object]]]:  # type: ignore[type-var]
    """All stages of ours that name something adjustable."""
    import importlib

    found = []
    for path in sorted((ROOT / "stages").rglob("*.py")):
        if "adjustable" in path.read_text():
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            kinds = (kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Stage))
            found += [kind for kind in kinds if kind.adjustable and kind.__module__ == module.__name__]
    return found


@pytest.mark.parametrize("kind", shipped())
def test_what_shipped_stages_name_are_parameters(kind: type[Stage[object, object]]) -> None:  # type: ignore[type-var]
    """That their constructors keep under the same names."""
    names = constructor(kind)
    assert set(kind.adjustable) <= set(names)
    assert set(kind.adjustable) <= set(vars(kind()))
