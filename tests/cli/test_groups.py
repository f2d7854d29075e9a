"""Config groups that add a stage to a pipeline: each stands at its place in every pipeline that takes pictures."""

from __future__ import annotations

import itertools

import pytest
from checkout import ROOT

from hpcurate.cli.start.compose import compose
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.start.request import settings_of
from hpcurate.cli.start.steps import read_steps
from hpcurate.members import resolved_types
from hpcurate.planning.build import Step
from hpcurate.planning.placing import in_order
from stages.vision.tasks import ImageTask, VisualTask

OTHERS = {"dedup", "launcher", "models", "pipeline", "results", "shards", "site", "tars"}
"""Groups that add no stage, or none between making and publishing."""
CHOICES = sorted(
    (folder.name, path.stem)
    for folder in (ROOT / "conf").iterdir()
    if folder.is_dir() and folder.name not in OTHERS
    for path in folder.glob("*.yaml")
)


def composed(pipeline: str, *choices: tuple[str, str]) -> tuple[dict[str, Step], tuple[str, ...]]:
    """(the stages of a pipeline with these choices, its places); a server has a name and an address."""
    servers = [group for group, name in choices if name == "openai"]
    words = [f"+{group}={name}" for group, name in choices]
    words += [f"stages.{group}.{value}" for group in servers for value in ("model=m", "server.url=http://h/v1")]
    typed = sort_arguments([f"+pipeline={pipeline}", "input=/data", *words])
    made = compose(typed.overrides, typed.paths, ())
    return read_steps(made.with_output("/out")["stages"]), tuple(settings_of(made).places)


def line(pipeline: str, *choices: tuple[str, str]) -> list[str]:
    """Their names, in order."""
    steps, places = composed(pipeline, *choices)
    return in_order({name: step.options for name, step in steps.items()}, places)


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


@pytest.mark.parametrize("name", ["parquet", "webdataset"])
@pytest.mark.parametrize("pipeline", ["video", "images"])
def test_training_shards_are_packed_at_the_end(pipeline: str, name: str) -> None:
    """Nothing else moves."""
    assert line(pipeline, ("shards", name)) == [*line(pipeline), "shards"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf" / "results").glob("*.yaml")))
@pytest.mark.parametrize(
    ("pipeline", "last"),
    [("video", "index"), ("images", "index"), ("text", "shards"), ("words", "word_count"), ("files", "")],
)
def test_results_are_written_at_the_end_of_any_pipeline(pipeline: str, last: str, name: str) -> None:
    """Nothing else moves; in pipelines with places and in those without."""
    added = ["number", "results"] if name == "numbered" else ["results"]
    plain, made = line(pipeline) if last else [], line(pipeline, ("results", name))
    end = plain.index(last) + 1 if last else 0
    assert [*plain[:end], *added, *plain[end:]] == made
    first = (ROOT / "conf" / "results" / f"{name}.yaml").read_text().splitlines()
    assert (True, True) == (first[0].startswith("# @package stages"), first[1].startswith("# "))


def test_several_groups_stand_in_the_order_of_their_places() -> None:
    """However they are typed: what filters comes before what embeds, what embeds before what writes captions."""
    one_each = list({group: (group, name) for group, name in CHOICES}.values())
    for choices in (one_each, one_each[::-1]):
        steps, places = composed("video", *choices)
        ranks = [places.index(steps[name].options.place or name) for name in line("video", *choices)]
        assert sorted(ranks) == ranks


def test_captions_are_made_then_improved_then_embedded() -> None:
    """In whichever order the groups are typed."""
    wanted = [group for group in ("caption", "enhance", "embed_text") if group in dict(CHOICES)]
    for groups in itertools.permutations(wanted):
        order = line("images", *((group, dict(CHOICES)[group]) for group in groups))
        assert wanted == [name for name in order if name in wanted]


def test_the_full_pipeline_has_a_stage_of_each_group() -> None:
    """What is cheap filters first, what reads captions comes after them; one can be another, or none."""
    full = [
        "probe", "split", "clips", "text_share", "nsfw", "aesthetic", "filter", "classify", "embed", "caption", "enhance",
        "embed_text", "write", "index",
    ]  # fmt: skip
    assert full == line("video_full")
    assert len(full) == len(line("video")) + len({group for group, _ in CHOICES})
    typed = sort_arguments(["+pipeline=video_full", "caption=smolvlm", "~classify", "input=/data"])
    steps = read_steps(compose(typed.overrides, typed.paths, ()).with_output("/out")["stages"])
    assert full == sorted([*steps, "classify"], key=full.index)
    assert steps["caption"].stage.model.name == "smolvlm2-2_2b"


@pytest.mark.parametrize("choice", CHOICES, ids="=".join)
def test_a_group_says_what_it_does_and_takes_whatever_has_pictures(choice: tuple[str, str]) -> None:
    """Its first lines are its help."""
    first, second = (ROOT / "conf" / choice[0] / f"{choice[1]}.yaml").read_text().splitlines()[:2]
    assert first.startswith("# @package stages.")
    assert second.startswith("# ")
    steps, _ = composed("images", choice)
    stage = steps[first.removeprefix("# @package stages.")].stage
    assert [ImageTask, VisualTask] == [resolved_types(stage, kind)[-1][1] for kind in (ImageTask, VisualTask)]


@pytest.mark.parametrize("pipeline", ["video", "images"])
@pytest.mark.parametrize("more", [(), (("caption", "openai"),)])
def test_semantic_deduplication_stands_between_embedding_and_captions(
    pipeline: str, more: tuple[tuple[str, str], ...]
) -> None:
    """What looks for duplicates branches off there; nothing else moves."""
    chosen = (("embed", "clip"), *more)
    plain, made = line(pipeline, *chosen), line(pipeline, *chosen, ("dedup", "semantic"))
    place = plain.index("embed") + 1
    branch = ["dedup_sample", "dedup_centroids", "dedup_groups", "dedup_list"]
    assert [*plain[:place], "dedup_assign", "dedup", *plain[place:], *branch] == made


def test_the_list_of_duplicates_is_made_with_the_parameters_of_the_filter() -> None:
    """One `eps=` is enough, so that both decide alike."""
    words = ["+pipeline=video", "input=/data", "+embed=clip", "+dedup=semantic", "stages.dedup.eps=0.2"]
    typed = sort_arguments([*words, "stages.dedup.keep=longest", "stages.dedup.longest_by=bytes"])
    stages = compose(typed.overrides, typed.paths, ()).with_output("/out")["stages"]
    for name in ("dedup", "dedup_groups"):
        assert (0.2, "longest", "bytes") == tuple(stages[name][key] for key in ("eps", "keep", "longest_by"))


def test_exact_and_semantic_deduplication_go_together() -> None:
    """Equal files before anything is decoded, then what looks the same."""
    made = line("video", ("embed", "clip"), ("dedup", "[exact,semantic]"))
    assert ["digest", "exact", "probe"] == made[:3]
    assert "write" == made[made.index("dedup") + 1]
