"""Config groups that add a stage to a pipeline: each stands at its place in every pipeline that takes pictures."""

from __future__ import annotations

import itertools

import pytest
from checkout import ROOT

from hpcurate.cli.start.compose import compose
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.start.request import settings_of
from hpcurate.cli.start.steps import read_steps
from hpcurate.planning.placing import in_order
from hpcurate.stage import resolved_types
from stages.vision.tasks import ImageTask, VisualTask

OTHERS = {"launcher", "models", "pipeline", "site"}
"""Groups that add no stage."""
CHOICES = sorted(
    (folder.name, path.stem)
    for folder in (ROOT / "conf").iterdir()
    if folder.is_dir() and folder.name not in OTHERS
    for path in folder.glob("*.yaml")
)


def line(pipeline: str, *choices: tuple[str, str]) -> list[str]:
    """The stages of a pipeline with these choices, in order."""
    words = [f"+pipeline={pipeline}", "input=/data", *(f"+{group}={name}" for group, name in choices)]
    typed = sort_arguments(words)
    made = compose(typed.overrides, typed.paths, ())
    steps = read_steps(made.with_output("/out")["stages"])
    return in_order({name: step.options for name, step in steps.items()}, settings_of(made).places)


@pytest.mark.parametrize("choice", CHOICES, ids="=".join)
@pytest.mark.parametrize(("pipeline", "before"), [("video", "clips"), ("images", "probe")])
def test_a_group_adds_one_stage_between_making_and_publishing(
    pipeline: str, before: str, choice: tuple[str, str]
) -> None:
    """Nothing else moves."""
    plain, made = line(pipeline), line(pipeline, choice)
    (added,) = set(made) - set(plain)
    assert plain == [name for name in made if name != added]
    assert made.index(before) < made.index(added) < made.index("write")


def test_several_groups_stand_in_the_order_of_their_places() -> None:
    """However they are typed: what filters comes before what embeds, what embeds before what writes captions."""
    one_each = list({group: (group, name) for group, name in CHOICES}.values())
    for choices in (one_each, one_each[::-1]):
        typed = sort_arguments(["+pipeline=video", "input=/data", *(f"+{group}={name}" for group, name in choices)])
        made = compose(typed.overrides, typed.paths, ())
        options = {name: step.options for name, step in read_steps(made.with_output("/out")["stages"]).items()}
        places = settings_of(made).places
        ranks = [places.index(options[name].place or name) for name in line("video", *choices)]
        assert sorted(ranks) == ranks


def test_captions_are_made_then_improved_then_embedded() -> None:
    """In whichever order the groups are typed."""
    wanted = [group for group in ("caption", "enhance", "embed_text") if group in dict(CHOICES)]
    for groups in itertools.permutations(wanted):
        order = line("images", *((group, dict(CHOICES)[group]) for group in groups))
        assert wanted == [name for name in order if name in wanted]


@pytest.mark.parametrize("choice", CHOICES, ids="=".join)
def test_a_group_says_what_it_does_and_takes_whatever_has_pictures(choice: tuple[str, str]) -> None:
    """Its first lines are its help."""
    first, second = (ROOT / "conf" / choice[0] / f"{choice[1]}.yaml").read_text().splitlines()[:2]
    assert first.startswith("# @package stages.")
    assert second.startswith("# ")
    typed = sort_arguments(["+pipeline=images", "input=/data", f"+{choice[0]}={choice[1]}"])
    steps = read_steps(compose(typed.overrides, typed.paths, ()).with_output("/out")["stages"])
    stage = steps[first.removeprefix("# @package stages.")].stage
    assert [ImageTask, VisualTask] == [resolved_types(stage, kind)[-1][1] for kind in (ImageTask, VisualTask)]
