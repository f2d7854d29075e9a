"""A run's result is its live set: lists whose inputs are what is committed above, and nothing else (I10)."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import attrs
import msgspec
import pytest
from driven import Site
from engine_stages import Collect, Digits, Double, Number

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.slicing import Slicing
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.state import RunState
from hpcurate.source import intake
from hpcurate.store.layout import is_content_named, shard_id
from hpcurate.store.lists import ShardLine
from hpcurate.store.rows import codec
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import ShardStats
from hpcurate.world import World
from launchers.inline import InlineLauncher

SMALL = {"cpus": 1, "memory": "200MB", "time": "5m"}


def numbers(count: int) -> list[Number]:
    """Numbers that `Double` passes on."""
    return [Number(id=f"n{i:04d}", value=2 * i + 21) for i in range(count)]


SLICED = StageOptions(shard_tasks=2, resources=SMALL)


def go(site: Site, count: int = 12, **more: Step) -> hpcurate.Outcome:
    """Two stages over so many numbers, and more after them, here."""
    steps = {"double": Step(Double(), SLICED), "digits": Step(Digits(), SLICED), **more}
    return hpcurate.run(steps, numbers(count), store=site.store, launcher="inline")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A store whose sources have four tasks a shard."""
    monkeypatch.setattr(intake, "SHARD_TASKS", 4)
    return Site(tmp_path)


def source_of(run: Run) -> StageStore:
    """The source of a run, in the store."""
    return World().stage(run.store, run.frozen().pipeline.source.folder)


def replace_source_shard(run: Run, ordinal: int, rows: bytes) -> None:
    """What a later scan of edited inputs does: version 1 of list 0001, with other rows in one shard."""
    source = source_of(run)
    lines = source.lists.read("0001") or []
    line = ShardLine(shard_id("0001+1.abcd1234", 0), 4.0, 4, ())
    path = source.commits.begin(line.id, 1, "n")
    Path(path, "tasks.jsonl").write_bytes(rows)
    stats = ShardStats(shard=line.id, nonce="edited", weight_out=4.0, tasks_in=4, tasks_out=4, passed=4)
    source.filesystem.make_folders(source.folder.shards(line.id[:-3]))
    assert source.commits.commit(path, stats)
    source.lists.write("0001+1", [*lines[:ordinal], line, *lines[ordinal + 1 :]])


def go_on(run: Run, *source_lists: str) -> RunState:
    """The same run over other lists of its source."""
    run.freeze(attrs.evolve(run.frozen(), source_lists=source_lists))
    return Driver(run, InlineLauncher(), stays=True).drive().decision.state


def test_an_edited_source_shard_redoes_its_descendants_alone(site: Site) -> None:
    """Before: a list below had the name of the one above, whatever that had become, and kept the old results."""
    run = go(site).run
    before, claims = site.stats(), set(site.claims())
    source = source_of(run)
    edited = [Number(id=f"e{i}", value=2 * i + 1) for i in range(4)]
    replace_source_shard(run, 1, b"".join(codec(Number).encode_lines(edited)))
    assert RunState.COMPLETE is go_on(run, "0001+1")
    assert before.items() <= site.stats().items()
    assert {"0001+1-000000.1", "0001+1-000001.1"} == set(site.claims()) - claims
    made = [shard for shard in site.stats() if shard not in before and not shard.startswith("source")]
    assert 4 == len(made)
    assert ["0001", "0001+1"] == source.lists.names()


def test_a_run_that_froze_the_older_source_list_goes_on_with_it(site: Site) -> None:
    """Both versions stand; each run reads its own, and shares what is the same."""
    run = go(site).run
    source = source_of(run)
    (line, *_) = source.lists.read("0001") or []
    rows = Path(source.folder.shard(line.id), "tasks.jsonl").read_bytes()
    replace_source_shard(run, 0, rows)
    go_on(run, "0001+1")
    claims = site.claims()
    for name in ("0001", "0001+1"):
        assert (RunState.COMPLETE, claims) == (go_on(run, name), site.claims())


def test_another_target_size_acts_on_new_lines_alone(site: Site) -> None:
    """Slicing acts when a list is made: what stands is not cut again."""
    run = go(site).run
    source = source_of(run)
    (line, *_) = source.lists.read("0001") or []
    rows = Path(source.folder.shard(line.id), "tasks.jsonl").read_bytes()
    replace_source_shard(run, 0, rows)
    frozen = run.frozen()
    stages = tuple(
        attrs.evolve(stage, relation=type(stage.relation)(Slicing(tasks=4))) for stage in frozen.pipeline.stages
    )
    run.freeze(attrs.evolve(frozen, pipeline=attrs.evolve(frozen.pipeline, stages=stages)))
    go_on(run, "0001+1")
    double = World().stage(run.store, frozen.pipeline.stage("double").folder)
    assert [4, 2, 2, 2, 2] == [line.count for line in double.lists.read("0001+1") or []]


# -- lists that are named by what goes into them -----------------------------------------------------


def part(run: Run, stage: str) -> StageStore:
    """A stage of a run, in the store."""
    return World().stage(run.store, run.frozen().pipeline.stage(stage).folder)


def as_in_format_1(store: StageStore, old: dict[str, list[ShardLine]]) -> None:
    """Give the lists of a stage the names and ids that they had in a store of format 1."""
    by_inputs = {line.inputs: line.id for name in store.lists.names() for line in store.lists.read(name) or []}
    shutil.rmtree(store.folder.lists)
    for name, lines in old.items():
        store.lists.write(name, lines)
        for line in lines:
            os.rename(store.folder.shard(by_inputs[line.inputs]), store.folder.shard(line.id))


def test_a_gather_of_an_older_store_stands(site: Site, tmp_path: Path) -> None:
    """Its list had a shorter digest, its shard an ordinal: found under these names, and nothing is done again."""
    collect = Step(Collect(str(tmp_path / "out")), StageOptions(resources=SMALL))
    run = go(site, collect=collect).run
    store, above = part(run, "collect"), part(run, "digits")
    (line,) = store.lists.read(store.lists.names()[0]) or []
    shards = "".join(f"{i.shard} {i.nonce}\n" for i in line.inputs)
    name = f"all.{hashlib.sha256(shards.encode()).hexdigest()[:8]}"
    as_in_format_1(store, {name: [msgspec.structs.replace(line, id=f"{name}-000000")]})
    claims = site.claims()
    assert RunState.COMPLETE is go(site, collect=collect).state
    assert (claims, [name]) == (site.claims(), store.lists.names())
    assert above.lists.names() == ["0001"]


def two_upstreams(site: Site, count: int) -> hpcurate.Outcome:
    """A stage that reads two others."""
    after = StageOptions(shard_tasks=2, resources=SMALL, after=["double", "other"])
    return hpcurate.run(
        {
            "double": Step(Double(), SLICED),
            "other": Step(Double(sleep_s=0.001), StageOptions(shard_tasks=2, resources=SMALL, after=[])),
            "digits": Step(Digits(), after),
        },
        numbers(count),
        store=site.store,
        launcher="inline",
    )


def test_what_several_upstreams_give_is_one_list_named_by_its_inputs(site: Site) -> None:
    """Growth makes another list, in which only the new shards are done."""
    run = two_upstreams(site, 4).run
    store = part(run, "digits")
    (name,) = store.lists.names()
    before = site.stats()
    assert ("join", 4, True) == (name.split(".")[0], len(store.lists.read(name) or []), is_content_named(name))
    assert RunState.COMPLETE is two_upstreams(site, 4).state
    assert before == site.stats()


def test_several_upstreams_of_an_older_store_stand(site: Site) -> None:
    """There each upstream list had one of its own below."""
    run = two_upstreams(site, 4).run
    store = part(run, "digits")
    lines = store.lists.read(store.lists.names()[0]) or []
    folders = dict.fromkeys(line.inputs[0].stage for line in lines)
    by_folder = {f: [line for line in lines if line.inputs[0].stage == f] for f in folders}
    old = {
        f"0001@{folder}": [msgspec.structs.replace(line, id=f"0001@{folder}-{n:06d}") for n, line in enumerate(found)]
        for folder, found in by_folder.items()
    }
    as_in_format_1(store, old)
    claims = site.claims()
    assert RunState.COMPLETE is two_upstreams(site, 4).state
    assert (claims, sorted(old)) == (site.claims(), store.lists.names())
