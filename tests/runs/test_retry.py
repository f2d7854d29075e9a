"""Retrying what failed: dead letters are tried again as shards of their own, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest
from driven import Site
from engine_stages import Collect, Digits, Number
from one_worker import QuickClock
from retry_stages import Fails, FailsAtOnce

import hpcurate
from hpcurate import Budget, Retry, StageOptions, Step
from hpcurate.errors import ConfigError, PipelineError, StoreError
from hpcurate.failures import DeadLetter
from hpcurate.planning.retries import retry_name
from hpcurate.report.dead_letters import dead_letters
from hpcurate.report.run_view import RunView
from hpcurate.report.verification import verify
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.retry import NothingChosen, write_lists
from hpcurate.runs.retry_log import Retried, RetryLog
from hpcurate.runs.state import RunState
from hpcurate.source import intake
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store, base
from hpcurate.store.lists import Input, ShardLine
from hpcurate.store.stage_store import StageStore
from hpcurate.world import World
from launchers.inline import InlineLauncher

SMALL = {"cpus": 1, "memory": "200MB", "time": "5m"}
SLICED = StageOptions(shard_tasks=3, batch_size=3, resources=SMALL)


@attrs.define
class Factory:
    """A store, a pipeline of three stages, and which of its numbers fail now."""

    site: Site
    count: int = 12
    budget: float = 100

    def bugs(self, *values: int, **stages: list[int]) -> None:
        """These values fail from now on, in the stage `one` or in others."""
        for stage, found in {"one": list(values), "two": [], **stages}.items():
            folder = self.site.folder / stage
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for value in found:
                (folder / str(value)).touch()

    def run(self, retry: Retry | None = None, **more: Any) -> hpcurate.Outcome:
        """The command, or its retry."""
        steps = {
            "one": Step(Fails(str(self.site.folder / "one")), SLICED),
            "two": Step(Fails(str(self.site.folder / "two")), SLICED),
            "digits": Step(Digits(), SLICED),
            "collect": Step(FailsAtOnce(str(self.site.output)), StageOptions(resources=SMALL, attempts=1)),
        }
        numbers = [Number(id=f"n{i:04d}", value=i) for i in range(11, 11 + self.count)]
        told = {"budget": Budget(failed=self.budget), "launcher": "inline", "store": self.site.store}
        return hpcurate.run(steps, numbers, **{**told, **more}, retry=retry)

    def attempts(self) -> set[str]:
        """Every attempt there was, sources left out."""
        return set(self.site.claims())


class Patient(InlineLauncher):
    """Waits on that clock."""

    def __init__(self, clock: QuickClock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, seconds: float) -> None:
        """See `Launcher`."""
        self.clock.sleep(seconds)


@pytest.fixture
def factory(site: Site, monkeypatch: pytest.MonkeyPatch) -> Factory:
    """Sources have four tasks a shard."""
    monkeypatch.setattr(intake, "SHARD_TASKS", 4)
    return Factory(site)


def failed(outcome: hpcurate.Outcome) -> dict[str, int]:
    """Dead letters of each stage that has some, as the summary, `status` and `why` count them."""
    view = RunView(outcome.run)
    listed: dict[str, int] = {}
    for one in dead_letters(view):
        listed[one.shard.stage] = listed.get(one.shard.stage, 0) + 1
    counted = {name: stage.failed for name, stage in view.look().stages.items() if stage.failed}
    assert counted == listed
    return counted


def digits(site: Site) -> list[str]:
    """What is published, as a set."""
    return sorted((site.output / "digits.txt").read_text())


def part(run: Run, stage: str) -> StageStore:
    """A stage of a run, in the store."""
    return World().stage(run.store, run.frozen().pipeline.stage(stage).folder)


def goes_on(run: Run) -> None:
    """The same command, as far as its driver, over a minute in which what was purged is looked for again."""
    clock = QuickClock()
    driver = Driver(run, Patient(clock), stays=True, world=World(clock=clock))
    assert RunState.COMPLETE is driver.drive().decision.state


def test_exactly_what_failed_is_tried_and_the_result_is_as_if_it_never_had(factory: Factory, tmp_path: Path) -> None:
    """And downstream the rows that come of it; each stage counts its tasks once, wherever they ended."""
    factory.bugs(12, 13, 20, two=[15])
    assert {"one": 3, "two": 1} == failed(factory.run())
    before = factory.site.stats()
    factory.bugs()
    outcome = factory.run(Retry())
    made = {name: stats for name, stats in factory.site.stats().items() if name not in before}
    tasks = {name: sum(s["tasks_in"] for key, s in made.items() if key.startswith(name)) for name in ("one", "two")}
    assert {"one": 3, "two": 4} == tasks
    assert (RunState.COMPLETE, {}) == (outcome.state, failed(outcome))
    assert {(12, 12)} == {(outcome.summary["stages"][s]["in"], outcome.summary["stages"][s]["out"]) for s in tasks}
    assert () == verify(RunView(outcome.run)).faults
    never = Factory(Site(tmp_path / "never"))
    never.site.folder.mkdir()
    never.bugs()
    never.run()
    assert digits(never.site) == digits(factory.site)
    attempts = factory.attempts()
    assert ({}, attempts) == (failed(factory.run()), factory.attempts())  # the same command keeps the retries


def test_a_retry_of_a_retry(factory: Factory) -> None:
    """What failed again can be tried again; what passed is no dead letter any more, and is not tried."""
    factory.bugs(12, 13, 14)
    factory.run()
    factory.bugs(13)
    assert {"one": 1} == failed(factory.run(Retry()))
    attempts = factory.attempts()
    assert {"one": 1} == failed(factory.run(Retry()))
    factory.bugs()
    outcome = factory.run(Retry(stage="one"))
    assert {} == failed(outcome)
    lists = outcome.run.frozen().retries
    assert [3, 1, 1] == [
        sum(line.count for line in part(outcome.run, "one").lists.read(name) or [])
        for name in next(iter(lists.values()))
    ]
    name = next(iter(lists.values()))[0]
    (line,) = [
        json.loads(row) for row in Path(part(outcome.run, "one").folder.list_file(name)).read_text().splitlines()
    ]
    assert ([[1, 4]], [[1, 3], [0, 1]]) == ([one[3:] for one in line["inputs"]], [one[3:] for one in line["retries"]])
    assert ("source", "one") == (line["inputs"][0][0].split("-")[0], line["retries"][0][0].split("-")[0])
    assert len(factory.attempts() - attempts) == 2 + 2 + 1  # one and two, digits and collect below what passed
    with pytest.raises(NothingChosen):
        factory.run(Retry())


@pytest.mark.parametrize(
    ("which", "takes"),
    [
        (Retry(), True),
        (Retry(reason="12 is"), True),
        (Retry(reason="ValueError: 1"), True),
        (Retry(reason="no such"), False),
        (Retry(kind="exception"), True),
        (Retry(kind="oom", reason="12 is"), False),
    ],
)
def test_what_is_chosen(which: Retry, takes: bool) -> None:
    """By kind and a text in error or message, both of them together."""
    assert takes is which.takes(DeadLetter(id="a", stage="one", error="ValueError", message="12 is not processed here"))


def test_what_is_refused(factory: Factory) -> None:
    """What nobody asked for, what would be mixed, and a stage that is not complete; nothing is written."""
    factory.bugs(12, two=[15])
    run = factory.run().run
    frozen = run.frozen()
    with pytest.raises(NothingChosen):
        factory.run(Retry(stage="digits"))
    with pytest.raises(ConfigError, match="did you mean 'two'"):
        factory.run(Retry(stage="twoo"))
    source = [Number(id=f"n{i:04d}", value=i) for i in range(11, 23)]
    other = {"one": Step(Fails("elsewhere"), SLICED)}
    told: dict[str, Any] = {"store": factory.site.store, "launcher": "inline", "retry": Retry()}
    with pytest.raises(PipelineError, match=r"has the stages one, two, digits, collect, not one"):
        hpcurate.run(other, source, **told)
    with pytest.raises(PipelineError, match=r"source: is not that of "):
        hpcurate.run(other, source[:3], **told)
    other = {**other, "two": Step(Fails("x"), SLICED), "digits": Step(Digits()), "collect": Step(Collect("y"))}
    with pytest.raises(
        PipelineError, match=r"stages\.one: is not what it was in .*parameters\.bugs: .*; call hpcurate.run"
    ):
        hpcurate.run(other, source, **told)
    shutil.rmtree(part(run, "one").folder.shard("0001-000002"))
    with pytest.raises(StoreError, match=r"two waits for what it reads: retry when that has ended"):
        factory.run(Retry(stage="two"))
    with pytest.raises(StoreError, match=r"1 of 4 shards of one are not committed: retry when that has"):
        factory.run(Retry(stage="one"))
    assert frozen == run.frozen()


def test_a_run_that_failed_over_its_budget_goes_on(factory: Factory) -> None:
    """Its stages downstream had not begun; those that are tried again do not count as failed."""
    factory.bugs(12, 13, 14)
    factory.budget = 1
    first = factory.run()
    assert (RunState.FAILED, True) == (
        first.state,
        f"retry=hpcurate.Retry(run={first.run.name!r}" in first.summary["next"],
    )
    factory.bugs(13)
    outcome = factory.run(Retry())
    assert (RunState.COMPLETE, {"one": 1}) == (outcome.state, failed(outcome))
    assert 11 == outcome.summary["stages"]["digits"]["in"]


def test_of_two_calls_at_once_none_forgets_what_the_other_retries(factory: Factory) -> None:
    """Each replaces what the run had frozen when it looked: a retry that was frozen in between was gone."""
    factory.bugs(12)
    factory.budget = 0
    run = factory.run().run
    looked = run.frozen()
    factory.run(Retry(stage="one"))
    retried = run.frozen().retries
    run.freeze(looked)
    assert [1] == [len(names) for names in retried.values()]
    assert retried == run.frozen().retries


def test_retries_are_written_down_in_their_order(tmp_path: Path) -> None:
    """Whoever died before its file had content, where there are no hard links, retries nothing."""
    log = RetryLog(str(tmp_path / "retries"), POSIX)
    log.add(Retried({"one-1": ("retry.b",)}))
    (tmp_path / "retries" / "0002.json").touch()
    log.add(Retried({"one-1": ("retry.a",)}, {"one-1": {"x": "y"}}))
    assert [("retry.b",), (), ("retry.a",)] == [one.retries.get("one-1", ()) for one in log.read()]
    assert {"one-1": {"x": "y"}} == log.read()[-1].tried


def test_a_list_that_has_no_content_yet_is_not_believed(tmp_path: Path) -> None:
    """On a filesystem without hard links: it was a retry of nothing, for ever where its writer had died."""
    store = World().stage(Store(str(tmp_path)), "one-1")
    line = ShardLine("0123456789abcdef0123", 1.0, 1, (Input("s", "0001-000000", "n", 0, 1),))
    os.makedirs(store.folder.lists)
    Path(store.folder.list_file(retry_name([line]))).touch()
    with pytest.raises(StoreError, match="is empty: another call is writing it"):
        write_lists(lambda folder: store, {"one-1": [line]})


def test_another_run_over_the_same_folders_does_not_see_it(factory: Factory) -> None:
    """Its dead letters are its own; when it retries the same ones it finds what the first has done."""
    factory.bugs(12, 13)
    factory.run()
    other = factory.run(name="other")
    factory.bugs()
    factory.run(Retry(run="pipeline"))
    again = factory.run(name="other")
    assert (other.run.name, {"one": 2}) == (again.run.name, failed(again))
    before = factory.site.stats()
    assert {} == failed(factory.run(Retry(run="other"), name="other"))
    assert set() == {name for name in factory.site.stats().keys() - before.keys() if name.startswith("one")}


def test_a_trial_that_was_retried_and_then_the_full_run(factory: Factory) -> None:
    """Which reuses the trial's shards, and its retry if it asks for the same."""
    factory.bugs(12, 13)
    factory.run(limit=8)
    factory.bugs(20)
    assert {} == failed(factory.run(Retry(), limit=8))
    full = factory.run()
    assert {"one": 3} == failed(full)
    before = factory.site.stats()
    factory.bugs()
    assert {"one": 1} == failed(factory.run(Retry(reason="1")))
    assert set() == {name for name in factory.site.stats().keys() - before.keys() if name.startswith("one")}
    assert {} == failed(factory.run(Retry()))
    assert {} == failed(factory.run(limit=8))


# -- what changes above or below it -----------------------------------------------------------------


def test_a_purged_shard_ends_otherwise_than_before(factory: Factory) -> None:
    """Done again by fixed code it has no dead letters: what was retried of it counts no more, or it would twice."""
    factory.bugs(12, 20)
    run = factory.run().run
    factory.bugs()
    factory.run(Retry())
    (shard,) = [line.id for line in part(run, "one").lists.read("0001") or [] if line.inputs[0].lo == 0][:1]
    shutil.rmtree(part(run, "one").folder.shard(shard))
    goes_on(run)
    outcome = factory.run()
    assert (RunState.COMPLETE, {}) == (outcome.state, failed(outcome))
    assert (12, 12) == (outcome.summary["stages"]["one"]["in"], outcome.summary["stages"]["one"]["out"])
    (retry,) = [name for name in part(run, "one").lists.names() if name.startswith("retry") and name != base(name)]
    assert [1] == [line.count for line in part(run, "one").lists.read(retry) or []]


def test_a_purged_retry_is_done_again(factory: Factory) -> None:
    """As any shard; and without its list what it tried has failed, until it is tried again."""
    factory.bugs(12)
    factory.run()
    factory.bugs()
    run = factory.run(Retry()).run
    (name,) = run.frozen().retries[run.frozen().pipeline.stage("one").folder]
    one = part(run, "one")
    shutil.rmtree(one.folder.shard((one.lists.read(name) or [])[0].id))
    goes_on(run)
    assert {} == failed(factory.run())
    before = factory.site.stats()
    os.unlink(one.folder.list_file(name))
    assert {"one": 1} == failed(factory.run())
    assert {} == failed(factory.run(Retry()))
    assert before.keys() <= factory.site.stats().keys()


def test_a_gather_is_retried_whole(factory: Factory) -> None:
    """All its tasks are dead letters, or none."""
    factory.bugs()
    bug = Path(f"{factory.site.output}.bug")
    bug.touch()
    assert RunState.FAILED is factory.run().state
    bug.unlink()
    outcome = factory.run(Retry(stage="collect"))
    assert (RunState.COMPLETE, {}, 25) == (outcome.state, failed(outcome), len(digits(factory.site)))
