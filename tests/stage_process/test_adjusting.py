"""Another value of a parameter for a stage that is set up."""

from __future__ import annotations

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
