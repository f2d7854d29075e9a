"""Random real faults on a real Slurm: the run ends with the tree of the undisturbed one.

`python -m tests.campaign` plays more, and prints what came of each fault.
"""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from slurm_fixture import running_slurm

from tests.campaign.faults import Fault, blows, kinds, moments
from tests.campaign.ground import Ground
from tests.campaign.judgement import Letter, Tree, judgement
from tests.campaign.machine import Machine, Site
from tests.campaign.person import Move, next_move
from tests.campaign.pipelines import Groups, Pipeline, Text, Video, plant_twins
from tests.campaign.play import Plan, play, undisturbed
from tests.campaign.table import After, Glance, Hit, Played, after, table

SHORT = 0
"""Seed of the run in `make test`."""

# -- the pure parts ---------------------------------------------------------------------------------


def test_a_seed_says_what_happens_and_each_kind_comes_before_any_comes_again() -> None:
    """The same seed draws the same faults. Without a scheduler there is a driver to kill, and no job."""
    assert {Fault.STAGE_PROCESS, Fault.KEEPER, Fault.SUPERVISOR, Fault.DRIVER} == {
        *kinds(text=True, mounted=True, local=True)
    }
    among = kinds(text=True, mounted=True)
    first, again = ([next(drawn) for _ in among] for drawn in (blows("7", among, 60.0), blows("7", among, 60.0)))
    assert first == again
    assert {*Fault} - {Fault.DRIVER} == {blow.fault for blow in first}
    assert all(blow.seconds <= 2.0 for blow, _ in zip(blows("8", among, 2.0), range(50)))
    assert sorted(moments("7", 12)) == moments("7", 12)


def test_what_comes_between_two_faults_is_put_down_to_the_first() -> None:
    """The seconds lost are those that the same progress takes in an undisturbed run; their sum is the whole delay."""
    start, hit, end = (
        Glance(at_s=at, share=share, rounds=n, attempts=n, typed=1)
        for at, share, n in ((10.0, 0.5, 1), (14.0, 0.5, 2), (30.0, 1.0, 5))
    )
    hits = (Hit(fault=Fault.GATE, what="g", glance=start), Hit(fault=Fault.FULL, what="f", glance=hit))
    run = Played(
        pipeline="text",
        seed=1,
        shards=9,
        usual_s=20.0,
        usual_rounds=1,
        hits=hits,
        end=end,
        missed=0,
        letters=(),
        wrong=(),
    )
    assert [
        (Fault.GATE, After(rounds=1, attempts=1, typed=0, lost_s=4.0)),
        (Fault.FULL, After(rounds=3, attempts=3, typed=0, lost_s=6.0)),
    ] == after(run)
    assert "2 faults: 1 with the tree of the undisturbed run" in table([run])
    assert "1 wrong" in table([attrs.evolve(run, wrong=("rows differ",))])


ROWS = {
    "a/1/tasks.jsonl": '{"id": "x"}\n{"id": "y"}\n',
    "b/1/tasks.jsonl": '{"id": "x1", "parents": ["x"]}\n{"id": "y1", "parents": ["y"]}\n',
}
DEAD = Letter(stage="a", id="x", error="crash", message="", history=(("crash", ("x",)), ("dead", ("x",))))


def test_only_the_dead_letters_of_the_policy_may_be_lacking_and_what_is_made_of_them() -> None:
    """One death alone in work is no reason, nor is another task's; a row that is lacking otherwise is wrong."""
    kept = {"a/1/tasks.jsonl": '{"id": "y"}\n', "b/2/tasks.jsonl": '{"id": "y1", "parents": ["y"]}\n'}
    whole, found = Tree(rows=ROWS), Tree(rows=kept, letters=(DEAD,))
    assert ([], []) == judgement(whole, whole, [])
    assert ([DEAD], []) == judgement(whole, found, ["only in A: 'out/x1.mp4'", "differs: 'all.txt': byte 7"])
    assert (1, ["differs: 'out/y1.mp4': byte 7"]) == _judged(whole, found, ["differs: 'out/y1.mp4': byte 7"])
    for history in (DEAD.history[:1], (("crash", ("x", "y")),) * 3, (("lost", ("x",)),) * 3):
        found = Tree(rows=kept, letters=(attrs.evolve(DEAD, history=history),))
        assert (1, ["a dead letter for no reason: a x: crash: "]) == _judged(whole, found, [])
    found = Tree(rows={**kept, "b/2/tasks.jsonl": ""}, letters=(DEAD,))
    assert "a row is lacking" in _judged(whole, found, [])[1][0]
    assert ["rows differ: a/1/tasks.jsonl"] == judgement(whole, Tree(rows={**ROWS, "a/1/tasks.jsonl": ""}), [])[1]


def test_shards_named_by_what_they_read_are_told_apart_by_their_rows(tmp_path: Path) -> None:
    """A stage of groups has many, under other names in another store; a row that is in none of them is seen."""
    trees = []
    for folder, names in (("a", "0123"), ("b", "3210"), ("c", "012")):
        (tmp_path / folder).mkdir()
        ground = Ground(tmp_path / folder, Machine(tmp_path), mounted=False)
        for number, name in enumerate(names):
            shard = ground.store / "stages" / f"near-{folder * 12}" / "shards" / name / (name * 20)
            shard.mkdir(parents=True)
            (shard / "tasks.jsonl").write_text(f'{{"id": "{number}"}}\n')
        trees.append(ground.tree())
    assert 4 == len(trees[0].rows)
    assert ([], []) == judgement(trees[0], trees[1], [])
    assert ["rows differ: near/all3/tasks.jsonl"] == judgement(trees[0], trees[2], [])[1]


def _judged(whole: Tree, found: Tree, differences: list[str]) -> tuple[int, list[str]]:
    letters, wrong = judgement(whole, found, differences)
    return len(letters), wrong


def test_a_person_types_again_only_where_nothing_is_queued_or_nothing_moves() -> None:
    """And never while Slurm does not answer, or a call is at work."""
    usual = {"state": "running", "calling": False, "jobs": 2, "empty_s": 0.0, "still_s": 10.0}
    assert Move.WAIT is next_move(**usual)
    assert Move.OVER is next_move(**{**usual, "state": "complete"})
    assert Move.WAIT is next_move(**{**usual, "jobs": 0, "empty_s": 1.0})
    assert Move.TYPE is next_move(**{**usual, "jobs": 0, "empty_s": 9.0})
    assert Move.WAIT is next_move(**{**usual, "jobs": None, "empty_s": 9.0, "still_s": 999.0})
    assert Move.WAIT is next_move(**{**usual, "jobs": 0, "empty_s": 9.0, "calling": True})
    assert Move.TYPE is next_move(**{**usual, "still_s": 999.0})


# -- on the real Slurm ------------------------------------------------------------------------------


def ends_as_it_has_to(plan: Plan, folder: Path, usual: Pipeline, launcher: str = "slurm") -> None:
    """On a Slurm of its own."""
    with running_slurm() as slurm:
        ends_there_as_it_has_to(plan, folder, usual, slurm, launcher)


def ends_there_as_it_has_to(plan: Plan, folder: Path, usual: Pipeline, site: Site, launcher: str) -> None:
    """Play it, and the usual run of the same tree, and print what happened."""
    whole = undisturbed(usual, folder / "undisturbed", site, print, launcher)
    run = play(plan, whole, folder / "run", site, print)
    print(table([run]))
    assert () == run.wrong, run.replay
    assert plan.faults / 2 <= len(run.hits) <= plan.faults, run.replay  # the last may come when the run is over


@pytest.mark.slurm
def test_ten_faults(tmp_path: Path) -> None:
    """In a run of less than a minute."""
    plan = Plan(pipeline=Text(documents=12, sleep_s=0.15), seed=SHORT, faults=10, longest_s=1.5)
    ends_as_it_has_to(plan, tmp_path, Text(documents=12, sleep_s=0.0), "inline")


@pytest.mark.long
@pytest.mark.slurm
@pytest.mark.parametrize("seed", range(12))
def test_a_campaign_of_text(tmp_path: Path, seed: int) -> None:
    """Twelve faults a run, of up to a minute each."""
    ends_as_it_has_to(Plan(pipeline=Text(), seed=seed, faults=12), tmp_path, Text())


@pytest.mark.long
@pytest.mark.slurm
@pytest.mark.video
@pytest.mark.parametrize("seed", range(6))
def test_a_campaign_of_videos(tmp_path: Path, real_videos: Path, seed: int) -> None:
    """The real pipeline over real videos."""
    pipeline = Video(videos=real_videos)
    ends_as_it_has_to(Plan(pipeline=pipeline, seed=seed, faults=12), tmp_path, pipeline)


@pytest.mark.long
@pytest.mark.slurm
@pytest.mark.parametrize("seed", range(6))
def test_a_campaign_of_groups(tmp_path: Path, planted: Path, seed: int) -> None:
    """Texts with exact and near twins: groups, a join, and shards that grow."""
    pipeline = Groups(texts=planted)
    ends_as_it_has_to(Plan(pipeline=pipeline, seed=seed, faults=12), tmp_path, pipeline, "local")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_kills_of_groups_on_this_machine(tmp_path: Path, planted: Path, seed: int) -> None:
    """Stage processes, keepers, supervisors and drivers."""
    killed_on_this_machine(Groups(texts=planted), seed, tmp_path)


@pytest.mark.long
@pytest.mark.video
@pytest.mark.parametrize("seed", range(2))
def test_kills_of_packed_videos_on_this_machine(tmp_path: Path, real_videos: Path, seed: int) -> None:
    """The real pipeline with equal files dropped first, and its clips packed into tars."""
    killed_on_this_machine(Video(videos=real_videos, packed=True), seed, tmp_path)


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder of texts with twins."""
    for needed in ("rensa", "py3langid", "pyarrow"):
        pytest.importorskip(needed, reason="the text extra is not installed")
    plant_twins(tmp_path / "texts")
    return tmp_path / "texts"


def killed_on_this_machine(pipeline: Pipeline, seed: int, folder: Path) -> None:
    """Ten kills."""
    ends_there_as_it_has_to(Plan(pipeline=pipeline, seed=seed, faults=10), folder, pipeline, Machine(folder), "local")
