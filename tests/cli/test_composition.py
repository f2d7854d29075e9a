"""What configuration files and a command line make together, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT

from hpcurate.cli.start.compose import Composed, compose
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.start.request import settings_of
from hpcurate.cli.start.settings import Settings
from hpcurate.cli.start.steps import read_steps
from hpcurate.errors import ConfigError
from hpcurate.fields import defaults_of, names_of
from hpcurate.planning.placing import in_order
from hpcurate.runs.launcher import LAUNCHERS


def composed(*words: str, config_dirs: Sequence[str] = ()) -> Composed:
    """The configuration that the words mean."""
    typed = sort_arguments(words)
    return compose(typed.overrides, typed.paths, config_dirs)


@pytest.mark.parametrize("name", ["it's mine", 'a "b", c=d', "back\\slash\\", "two\nlines", "100%"])
def test_a_folder_of_configuration_has_any_name(tmp_path: Path, name: str) -> None:
    """With a quote in it nothing could be started: Hydra refused what we had made of it."""
    (tmp_path / name / "pipeline").mkdir(parents=True)
    (tmp_path / name / "pipeline" / "own.yaml").write_text("# @package _global_\nname: own\n")
    assert "own" == composed("+pipeline=own", config_dirs=[str(tmp_path / name)]).draft()["name"]


@pytest.fixture
def writing(tmp_path: Path) -> str:
    """A conf folder with `+pipeline=writing`, whose stages use the output."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "writing.yaml").write_text(
        "# @package _global_\nstages:\n  a: {output: '${output}'}\n  b: {report: '${output}/report.json'}\n"
    )
    return str(tmp_path)


# -- the output -------------------------------------------------------------------------------------


def test_the_output_is_decided_last(writing: str) -> None:
    """Wherever the configuration refers to it, alone or inside a path."""
    made = composed("+pipeline=writing", config_dirs=[writing])
    assert made.output is None
    assert {"a": {"output": "/r/1"}, "b": {"report": "/r/1/report.json"}} == made.with_output("/r/1")["stages"]
    assert "/r/2/report.json" == made.with_output("/r/2")["stages"]["b"]["report"]


@pytest.mark.parametrize("folder", ["/out", "/o ut/${x}", "/o,ut", "/raw\udcff"])
def test_a_named_output_is_taken_as_it_is(writing: str, folder: str) -> None:
    """It names nothing else than a folder, whatever it looks like."""
    made = composed("+pipeline=writing", f"output={folder}", config_dirs=[writing])
    assert (folder, folder) == (made.output, made.with_output(made.output or "")["stages"]["a"]["output"])
    assert folder == settings_of(made).output


# -- defaults ---------------------------------------------------------------------------------------


def test_every_key_is_known_and_has_the_default_of_its_field() -> None:
    """Also those that no configuration file names."""
    made = composed().with_output("/r")
    assert set(names_of(Settings)) == set(made)
    expected: dict[str, Any] = {
        **defaults_of(Settings), "output": "/r", "launcher": {"kind": "auto"}, "site": {"use": "auto"},
    }  # fmt: skip
    assert expected == made


def test_no_shipped_file_repeats_a_default() -> None:
    """They stand once: in the class that holds them."""
    assert ["defaults"] == list(yaml.safe_load((ROOT / "conf" / "config.yaml").read_text()))
    for name in ("auto", *LAUNCHERS):
        assert {"kind": name} == yaml.safe_load((ROOT / "conf" / "launcher" / f"{name}.yaml").read_text())


# -- keys that had another name ---------------------------------------------------------------------


@pytest.mark.parametrize("word", ["shard=0/4", "shard=0/4,1/2", "+shard=0/4"])
def test_a_key_that_had_another_name_is_refused_with_the_new_one(word: str) -> None:
    """Before its value is looked at."""
    with pytest.raises(ConfigError, match="shard: this key has another name now: part"):
        composed(word)


def test_it_is_refused_in_a_file_too(tmp_path: Path) -> None:
    """A pipeline of an earlier version."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "old.yaml").write_text("# @package _global_\nshard: 0/4\n")
    with pytest.raises(ConfigError, match="shard: this key has another name now: part"):
        settings_of(composed("+pipeline=old", config_dirs=[str(tmp_path)]))


# -- places -----------------------------------------------------------------------------------------


def test_a_pipeline_extends_another_and_puts_its_stage_at_a_place(tmp_path: Path) -> None:
    """As the page about the video pipeline has it; a stage that is typed says where it stands, too."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "captioned.yaml").write_text(
        "# @package _global_\ndefaults: [video]\nname: captioned\n"
        "stages:\n  caption: {_target_: stages.video.quality.Quality, place: captions}\n"
    )
    words = (
        "+pipeline=captioned",
        "input=/v",
        "+stages.x._target_=stages.video.motion.Motion",
        "+stages.x.before=write",
    )
    made = composed(*words, config_dirs=[str(tmp_path)])
    settings, steps = settings_of(made), read_steps(made.with_output("/o")["stages"])
    assert "captioned" == settings.name
    line = in_order({name: step.options for name, step in steps.items()}, settings.places)
    assert ["probe", "split", "clips", "caption", "x", "write", "index"] == line


def test_groups_put_their_stages_at_a_place() -> None:
    """Text and NSFW before what is published; their parameters are typed as those of any stage."""
    words = ("+pipeline=video", "input=/v", "+ocr=rapid", "+nsfw=yahoo", "stages.nsfw.max_score=0.8")
    made = composed(*words)
    steps = read_steps(made.with_output("/o")["stages"])
    line = in_order({name: step.options for name, step in steps.items()}, settings_of(made).places)
    assert ["probe", "split", "clips", "text_share", "nsfw", "write", "index"] == line
    assert {"max_score": 0.8} == steps["nsfw"].stage.arguments()


@pytest.mark.parametrize("words", [("+pipeline=video", "+tars=videos"), ("+tars=videos", "+pipeline=video")])
def test_a_group_may_change_the_source_wherever_it_is_typed(words: tuple[str, str]) -> None:
    """Before the pipeline its change was lost: `no file with extension mp4` in a folder of tars."""
    made = composed(*words, "+dedup=exact", "input=/v").with_output("/o")
    assert ["tar"] == made["source"]["extensions"]
    steps = read_steps(made["stages"])
    line = in_order({name: step.options for name, step in steps.items()}, made["places"])
    assert ["members", "digest", "exact"] == line[:3]


def test_a_group_that_is_no_default_is_chosen_with_a_plus(tmp_path: Path) -> None:
    """The message said that there is no such key."""
    (tmp_path / "aesthetics").mkdir()
    (tmp_path / "aesthetics" / "mine.yaml").write_text("# @package stages.mine\n_target_: x.Y\n")
    with pytest.raises(ConfigError, match=r"aesthetics: it is chosen with a plus sign: \+aesthetics=NAME, one of mine"):
        composed("+pipeline=video", "aesthetics=mine", config_dirs=[str(tmp_path)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+captions=openai"], r"captions: there is no such key; did you mean '\+caption'\?"),
        (["captions=openai"], r"captions: there is no such key; did you mean '\+caption'\?"),
        (["+caption=openai", "+caption=smolvlm"], r"caption: it is chosen twice; type one of openai, .*smolvlm"),
    ],
)
def test_a_group_that_is_misspelt_or_chosen_twice(words: list[str], said: str) -> None:
    """All keys but the groups were listed; of two, Hydra's own words told of an override that nobody can type."""
    with pytest.raises(ConfigError, match=said):
        settings_of(composed("+pipeline=video", "input=/v", *words))


def test_a_group_that_the_pipeline_has_is_chosen_without_a_plus() -> None:
    """Hydra's own words told of an override that nobody can type."""
    with pytest.raises(ConfigError, match=r"caption=NAME, without a plus sign, where the pipeline has one"):
        composed("+pipeline=video_full", "+caption=openai", "input=/v")


@pytest.mark.parametrize(
    ("pipeline", "order"),
    [
        ("video", ["probe", "split", "clips", "aesthetic", "nsfw", "embed", "write", "index"]),
        ("images", ["probe", "aesthetic", "nsfw", "embed", "write", "index"]),
    ],
)
def test_groups_fill_the_places_of_videos_and_of_images(pipeline: str, order: list[str]) -> None:
    """The same words, whatever the order they are typed in."""
    made = composed(f"+pipeline={pipeline}", "+embed=siglip", "+aesthetic=clip", "+nsfw=yahoo", "input=/v")
    settings, steps = settings_of(made), read_steps(made.with_output("/o")["stages"])
    found = in_order({name: step.options for name, step in steps.items()}, settings.places)
    assert sorted(order) == sorted(found)
    assert [name for name in order if name != "nsfw"] == [name for name in found if name != "nsfw"]


WITHIN = {"cut": {"_target_": "stages.video.cut.Cut"}, "motion": {"_target_": "stages.video.motion.Motion"}}


def test_what_members_share_is_said_of_the_chain() -> None:
    """It was: there is no such key; did you mean 'resources'?"""
    entries = {"clips": {"chain": WITHIN}, "motion": {"resources": {"cpus": 2}}}
    with pytest.raises(ConfigError, match=r"motion.resources: the members of a chain share it; type stages.clips.reso"):
        read_steps(entries)


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        ({"before": "motion"}, "stages.mine.before: 'motion' is a member of the chain clips; type stages.mine.before=clips"),
        ({"after": ["motion"]}, "stages.mine.after: 'motion' is a member of the chain clips; type stages.mine.after=clips"),
        ({"reduce": "max"}, "stages.mine.reduce: 'max': there is no such choice; there are: min, mean"),
        ({"_target_": "stages.vision.text_share.TextShare", "max_share": 10}, "stages.mine.max_share: 10: expected a number"),
        ({"device": "gpu"}, "stages.mine.device=gpu: there is no such choice; there are: auto, cuda, cpu"),
    ],
)  # fmt: skip
def test_a_value_that_names_nothing_is_answered_with_what_to_type(mine: dict[str, Any], message: str) -> None:
    """A chain's member was unknown (`did you mean` the stage itself), a choice `Invalid enum value`, and gpu was `cpu`.

    A percentage that bounds nothing was taken.
    """
    entries = {"clips": {"chain": WITHIN}, "mine": {"_target_": "stages.vision.aesthetic.Aesthetic", **mine}}
    with pytest.raises(ConfigError) as caught:
        read_steps(entries)
    assert str(caught.value).startswith(message)
