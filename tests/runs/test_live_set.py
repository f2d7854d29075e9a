"""A run's result is its live set: lists whose inputs are what is committed above, and nothing else (I10)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest
from driven import Site
from engine_stages import Collect, Digits, Double, Number
from one_worker import QuickClock

import hpcurate
from hpcurate.errors import StoreError
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.slicing import Slicing
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.state import RunState
from hpcurate.source import intake
from hpcurate.store.filesystem import PosixFilesystem
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
    run.freeze(msgspec.structs.replace(run.frozen(), source_lists=source_lists))
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
        msgspec.structs.replace(stage, relation=type(stage.relation)(Slicing(tasks=4, batch=4)))
        for stage in frozen.pipeline.stages
    )
    run.freeze(msgspec.structs.replace(frozen, pipeline=msgspec.structs.replace(frozen.pipeline, stages=stages)))
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


# -- what was purged --------------------------------------------------------------------------------


class Patient(InlineLauncher):
    """Waits on that clock."""

    def __init__(self, clock: QuickClock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, seconds: float) -> None:
        """See `Launcher`."""
        self.clock.sleep(seconds)


def again(run: Run, clock: QuickClock, *, stays: bool = True) -> RunState:
    """The same command, as far as its driver."""
    driver = Driver(run, Patient(clock), stays=stays, world=World(clock=clock))
    return (driver.drive() if stays else driver.step()).decision.state


def purge(store: StageStore, *shards: str) -> None:
    """What a purge of scratch does."""
    for shard in shards:
        shutil.rmtree(store.folder.shard(shard))


@pytest.mark.parametrize("stays", [True, False])
def test_a_purged_shard_and_its_descendants_are_done_again(site: Site, stays: bool) -> None:
    """And nothing else, after a second listing a minute later. Before: `complete`, from an index of its own."""
    run = go(site).run
    before, claims, clock = site.stats(), set(site.claims()), QuickClock()
    purge(part(run, "double"), "0001-000002")
    assert RunState.COMPLETE is again(run, clock, stays=stays)
    assert clock.slept >= 60
    assert 2 == len([shard for shard, stats in site.stats().items() if stats != before.get(shard)])
    assert {"0001-000002.2", "0001+1-000000.1"} == set(site.claims()) - claims


def test_what_is_done_again_is_not_held_against_the_shard(site: Site) -> None:
    """Its attempt before was committed: that it has no ending beside its claim says nothing."""
    run = go(site).run
    for _ in range(2):
        purge(part(run, "double"), "0001-000002")
        again(run, QuickClock())
    history = part(run, "double").commits.stats("0001-000002").history
    assert {"lost"} == {end.ending.value for end in history}


def test_one_listing_is_enough_to_report(site: Site) -> None:
    """A look says what is missing; it is not complete, and nothing is submitted yet."""
    run = go(site).run
    purge(part(run, "double"), "0001-000002")
    os.unlink(os.path.join(run.path, "driver.json"))  # of this process, which lives
    look = RunLooker(run, InlineLauncher()).look()
    assert RunState.INCOMPLETE is look.decision.state
    assert "double: 1 committed shard not seen any more, e.g. 0001-000002" in look.decision.reason
    assert () == look.decision.actions


def test_a_listing_that_was_stale_costs_a_minute(site: Site) -> None:
    """What is listed again within it was never gone."""
    run = go(site).run
    double, clock = part(run, "double"), QuickClock()
    path = double.folder.shard("0001-000002")
    os.rename(path, f"{path}.aside")
    driver = Driver(run, Patient(clock), stays=True, world=World(clock=clock))
    assert RunState.RUNNING is driver.step().decision.state
    os.rename(f"{path}.aside", path)
    claims = site.claims()
    assert (RunState.COMPLETE, claims) == (driver.drive().decision.state, site.claims())


@pytest.mark.parametrize("what", ["shards", "shards/0001-000", "claims", "lists", "lists/0001.jsonl", "done", ""])
@pytest.mark.parametrize("stage", ["double", "digits"])
def test_a_purged_folder_is_made_again(site: Site, stage: str, what: str) -> None:
    """Whatever of a stage it is, the result is what it was."""
    run = go(site).run
    rows = sorted(site.tree().values())
    path = Path(part(run, stage).folder.path, what)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert RunState.COMPLETE is again(run, QuickClock())
    live = Driver(run, InlineLauncher()).observer
    live.look()
    found = [
        text.read_text()
        for one in run.frozen().pipeline.stages
        for shard in live.done(one)
        for text in Path(live.store(one.folder).folder.shard(shard.shard)).glob("*.jsonl")
    ]
    found = [text.replace("0001+1-", "0001-") for text in found]  # of a list whose first version was lost
    found += [text.read_text() for text in Path(source_of(run).folder.path).glob("shards/*/*/*.jsonl")]
    assert rows == sorted(found)


def test_shards_whose_list_was_lost_are_not_taken_for_others(site: Site) -> None:
    """With other settings their ids would name other rows. Before: two rows of a shard stood for four of the new list."""
    run = go(site).run
    double = part(run, "double")
    os.unlink(double.folder.list_file("0001"))
    outcome = go(site, double=Step(Double(), StageOptions(shard_tasks=3, resources=SMALL)))
    assert (RunState.COMPLETE, ["0001+1"]) == (outcome.state, double.lists.names())
    rows = [row for shard in site.store.glob("stages/double-*/shards/0001+1-000/*/tasks.jsonl") for row in shard.open()]
    assert 12 == len(rows)


@pytest.mark.parametrize("what", ["shards", "lists", "lists/0001.jsonl"])
def test_a_purged_source_is_reported(site: Site, what: str) -> None:
    """With what to type. Before: complete, or nothing to be seen."""
    run = go(site).run
    path = Path(source_of(run).folder.path, what)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    look = RunLooker(run, InlineLauncher()).look()
    assert (RunState.INCOMPLETE, True) == (look.decision.state, "no longer whole" in look.decision.reason)


@pytest.mark.parametrize("what", ["", "lists", "shards"])
def test_a_purged_source_is_taken_in_again(site: Site, tmp_path: Path, what: str) -> None:
    """Where the input is the same nothing below it is done again; where shards are gone the command says what to do."""
    run = go(site).run
    claims, folder = site.claims(), Path(source_of(run).folder.path)
    shutil.rmtree(folder / what)
    if what == "shards":
        with pytest.raises(StoreError, match=r"is gone, so the input .* no longer whole; move .*source-"):
            go(site)
        folder.rename(tmp_path / "aside")
    assert (RunState.COMPLETE, claims) == (go(site).state, site.claims())


def test_an_index_whose_shard_was_replaced_is_not_believed(site: Site) -> None:
    """The folder's stamp tells: the nonce that counts is the one in the shard."""
    run = go(site).run
    double = part(run, "double")
    path = Path(double.folder.shard("0001-000002"))
    stats = json.loads((path / "stats.json").read_text())
    shutil.copytree(path, path.parent / ".copy")
    shutil.rmtree(path)
    (path.parent / ".copy" / "stats.json").chmod(0o600)
    (path.parent / ".copy" / "stats.json").write_text(json.dumps({**stats, "nonce": "of another attempt"}))
    (path.parent / ".copy").rename(path)
    look = Driver(run, InlineLauncher()).look()
    assert (True, True, False) == (look.views[0].complete, look.views[1].ready, look.views[1].listed)


class Counting(PosixFilesystem):
    """Counts listings and reads of what is committed."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def names(self, folder: str) -> list[str]:
        """See `Filesystem`."""
        self.seen.append(folder)
        return super().names(folder)

    def read(self, path: str) -> bytes:
        """See `Filesystem`."""
        self.seen.append(path)
        return super().read(path)


def test_a_look_lists_a_folder_once_and_reads_no_stats(site: Site) -> None:
    """Names come from one listing a fan-out folder, all else from its index; what is complete is not listed again at
    the next look. Before: two listings a list and look, and none where the whole list had an index.
    """
    run, files = go(site).run, Counting()
    looker = RunLooker(run, InlineLauncher(), World(filesystem=files))
    looker.look()
    below = [path for path in files.seen if "/shards/" in path]
    assert (3, 3) == (len(below), len(set(below)))
    assert not [path for path in files.seen if path.endswith("stats.json")]
    files.seen.clear()
    looker.look()
    assert not [path for path in files.seen if "/shards/" in path or "/lists" in path]
