"""The engine from end to end on one machine: same result everywhere, nothing repeated, every input named."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from driven import Site, comparable
from engine_stages import BadSetup, Crash, Digits, Double, Leaves, LosesSetup, Number, Where
from process_stages import Odd

import hpcurate
from hpcurate.errors import UserError
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.state import RunState
from hpcurate.system.processes import start_time

ONE_BY_ONE = StageOptions(shard_tasks=2, resources={"memory": "100MB"})


def numbers(count: int) -> list[Number]:
    """Tasks 1 … count."""
    return [Number(id=f"n{i}", value=i) for i in range(1, count + 1)]


def test_inline_and_local_give_the_same_tree(site: Site, undisturbed: dict[str, str]) -> None:
    """Order and membership of the output never depend on who ran it (I2)."""
    finished = site.drive("local")
    assert finished.status == 0, finished.err
    assert comparable(site) == undisturbed


def test_the_same_command_again_attempts_nothing(site: Site) -> None:
    """A second call finds everything committed, says so, and claims no shard."""
    site.drive("local")
    before = site.claims()
    again = site.drive("local")
    assert again.status == 0
    assert "nothing to do" in again.err
    assert site.claims() == before


def test_durability_is_for_workers_and_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    """The same call with another one is the same run, with nothing to do."""
    store, steps = tmp_path / "store", {"double": Step(Double(), ONE_BY_ONE)}
    for durability in ("rename", "full"):
        hpcurate.run(steps, numbers(4), store=store, launcher="inline", durability=durability)
    [plan] = store.glob("runs/2*/submissions/*/plan.json")
    assert "rename" == json.loads(plan.read_text())["durability"]
    with pytest.raises(UserError, match=r"durability.*full.*rename"):
        hpcurate.run(steps, numbers(4), store=store, launcher="inline", durability="fast")


def test_every_input_ends_in_exactly_one_state(site: Site) -> None:
    """The sums hold at every stage boundary (I6)."""
    stages = site.drive("local").summary["stages"]
    for name, counts in stages.items():
        rows = [s for shard, s in site.stats().items() if shard.startswith(f"{name}-")]
        assert counts["in"] == sum(s["passed"] + s["dropped"] + s["failed"] for s in rows)
    assert stages["digits"]["in"] == stages["double"]["out"]
    assert stages["collect"]["in"] == stages["digits"]["out"]
    assert (stages["double"]["dropped"], stages["double"]["failed"]) == (6, 1)


def test_a_dead_letter_holds_task_and_reason(site: Site) -> None:
    """A failing task is written down whole, with its error, and the rest passes."""
    site.drive("local")
    failed = [row for name, text in site.tree().items() if "failed" in name for row in text.splitlines()]
    assert [json.loads(row)["task"]["value"] for row in failed] == [13]
    assert json.loads(failed[0])["message"] == "thirteen is not processed here"


def test_two_runs_started_at_once_share_the_work(site: Site, undisturbed: dict[str, str]) -> None:
    """Every shard is committed once, both complete, one round a stage."""
    first, second = site.start("local", "--sleep", "0.01"), site.start("local", "--sleep", "0.01")
    assert [first.wait(120), second.wait(120)] == [0, 0]
    assert len(site.claims()) == len(site.attempts())
    tickets = [p.name for p in site.store.glob("stages/double-*/rounds/*.ticket")]
    assert tickets == ["0001.ticket"]


def test_a_crashing_task_becomes_a_dead_letter_and_the_others_pass(site: Site) -> None:
    """Crash, isolate, name the culprit, pass the rest on: within the attempts a shard has."""
    outcome = hpcurate.run(
        {"crash": Step(Crash(value=3), StageOptions(batch_size=6, resources={"memory": "100MB"}))},
        numbers(6),
        store=site.store,
    )
    assert outcome.state is RunState.COMPLETE
    assert {k: outcome.summary["stages"]["crash"][k] for k in ("in", "out", "failed")} == {
        "in": 6,
        "out": 5,
        "failed": 1,
    }
    (stats,) = [s for s in site.stats().values() if "attempt" in s]
    assert [entry["ending"] for entry in stats["history"]] == ["crash"] * 3  # in its batch, then twice alone


def test_a_stage_that_cannot_be_set_up_ends_as_stalled(site: Site) -> None:
    """Two rounds without progress end the stage (I14); the reason is in the summary."""
    outcome = hpcurate.run({"bad": Step(BadSetup(), ONE_BY_ONE)}, numbers(3), store=site.store)
    assert outcome.state is RunState.STALLED
    assert "no such model here" in outcome.summary["reason"]


@pytest.mark.parametrize("launcher", ["inline", "local"])
def test_what_setup_made_sure_of_is_gone(site: Site, launcher: str) -> None:
    """All further tasks became dead letters, one after the other. Now the run stalls, and the same command continues."""
    needs = site.folder / "server"
    step = Step(LosesSetup(str(needs)), ONE_BY_ONE)
    outcome = hpcurate.run({"asks": step}, numbers(6), store=site.store, launcher=launcher)
    assert (RunState.STALLED, 0) == (outcome.state, outcome.summary["stages"]["asks"]["failed"])
    assert "setup failed on" in outcome.summary["reason"]
    assert "the server is gone" in outcome.summary["reason"]
    needs.touch()
    outcome = hpcurate.run({"asks": step}, numbers(6), store=site.store, launcher=launcher)
    assert (RunState.COMPLETE, 6) == (outcome.state, outcome.summary["stages"]["asks"]["out"])


@pytest.mark.parametrize(("what", "failed"), [("exit", 1), ("prepare_exit", 1), ("teardown_exit", 0)])
def test_sys_exit_inline_is_a_failure_of_the_task(site: Site, what: str, failed: int) -> None:
    """It ended the whole program, with status 0."""
    outcome = hpcurate.run({"odd": Step(Odd(what), ONE_BY_ONE)}, numbers(3), store=site.store, launcher="inline")
    assert (RunState.COMPLETE, failed) == (outcome.state, outcome.summary["stages"]["odd"]["failed"])


def test_sys_exit_in_setup_inline_ends_as_stalled(site: Site) -> None:
    """As any failed setup, with the reason."""
    outcome = hpcurate.run({"odd": Step(Odd("setup_exit"))}, numbers(3), store=site.store, launcher="inline")
    assert RunState.STALLED is outcome.state
    assert "SystemExit: 0" in outcome.summary["reason"]


def test_a_file_left_open_is_an_error_that_names_it(site: Site) -> None:
    """No writer of the stage is left when a shard becomes visible (I11)."""
    outcome = hpcurate.run({"leaves": Step(Leaves(), ONE_BY_ONE)}, numbers(1), store=site.store)
    logs = "".join(p.read_text() for p in site.store.glob("runs/latest/submissions/*/logs/*"))
    assert outcome.summary["stages"]["leaves"]["failed"] == 1
    assert "open.txt" in logs
    assert "close files before" in logs


def test_too_many_dead_letters_fail_the_run(site: Site) -> None:
    """The budget is judged at the stage boundary: what comes after is not begun."""
    tasks = [Number(id=f"n{i}", value=13) for i in range(6)]
    stages = {"double": Step(Double(), ONE_BY_ONE), "digits": Step(Digits(), ONE_BY_ONE)}
    outcome = hpcurate.run(stages, tasks, store=site.store)
    assert outcome.state is RunState.FAILED
    assert outcome.summary["stages"]["digits"]["shards_done"] == 0
    assert outcome.state.exit_status == 1


def test_one_changed_parameter_runs_only_what_depends_on_it(site: Site) -> None:
    """The stage above keeps its folder; the changed one gets another."""
    site.drive("local")
    first = set(site.stats())
    site.drive("local", "--output", str(site.folder / "elsewhere"))
    new = set(site.stats()) - first
    assert {shard.split("-")[0] for shard in new} == {"collect"}


def test_only_new_inputs_are_processed_later(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """+1 file of 3: one file's work (growth adds a list)."""
    from hpcurate.source import Files

    inputs = tmp_path / "in"
    inputs.mkdir()
    for name in "abc":
        (inputs / f"{name}.txt").write_text(name)
    site = Site(tmp_path)
    stages = {"measure": Step(Measure(), ONE_BY_ONE)}
    hpcurate.run(stages, Files(str(inputs)), store=site.store)
    (inputs / "d.txt").write_text("d")
    before = site.claims()
    outcome = hpcurate.run(stages, Files(str(inputs)), store=site.store)
    assert outcome.summary["stages"]["measure"]["in"] == 4
    assert len(site.claims()) == len(before) + 1


def test_two_processes_share_one_gpu(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """gpus=0.5: two stage processes in one worker, on the same device."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    options = StageOptions(shard_tasks=1, resources={"gpus": 0.5, "memory": "100MB", "cpus": 0.5})
    emulated = {"_target_": "launchers.local.LocalLauncher", "gpu_probe": False}
    hpcurate.run({"where": Step(Where(), options)}, numbers(6), store=site.store, launcher=emulated)
    seen = [p.read_text().split() for p in site.store.glob("stages/*/shards/*/[!.]*/files/*/where.txt")]
    assert {device for _, device in seen} == {"0"}
    assert len({pid for pid, _ in seen}) == 2
    stats = [json.loads(p.read_bytes()) for p in site.store.glob("stages/where-*/shards/*/[!.]*/stats.json")]
    assert {"cuda"} == {one["environment"]["device"] for one in stats}


def test_neighbours_whose_types_do_not_fit_are_refused(site: Site) -> None:
    """Before anything is written, naming both."""
    with pytest.raises(UserError, match="takes Number, but digits gives Digit"):
        hpcurate.run([Digits(), Double()], numbers(1), store=site.store)
    assert not site.store.exists()


def test_a_call_that_does_not_wait_returns_at_once(site: Site) -> None:
    """`wait=False` with local: a driver of its own carries on, the result is there later."""
    outcome = hpcurate.run({"double": Step(Double(), ONE_BY_ONE)}, numbers(4), store=site.store, wait=False)
    assert outcome.state is RunState.RUNNING
    deadline = time.monotonic() + 30
    while site.summary()["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert site.summary()["state"] == "complete"


from hpcurate import FileTask, Stage


class Measure(Stage[FileTask, FileTask]):
    """Passes files on."""

    version = 1

    def process(self, tasks: list[FileTask]) -> list[FileTask]:
        """As they are."""
        return tasks


class Copies(Stage[Number, Number]):
    """Makes a child of each task, in one call."""

    version = 1
    gather = True

    def process(self, tasks: list[Number]) -> list[Number]:
        """In their order."""
        return [self.child(task, Number, value=task.value) for task in tasks]


def test_two_upstreams_that_return_the_same_ids_are_both_accounted_for(site: Site) -> None:
    """Inputs are known by their ordinal: half of them were counted as dropped, with no row in `dropped.jsonl`."""
    plain = StageOptions(resources={"memory": "100MB"})
    stages = {
        "left": Step(Where(), plain),
        "right": Step(Where(), StageOptions(after=[], resources={"memory": "100MB"})),
        "both": Step(Copies(), StageOptions(after=["left", "right"], resources={"memory": "100MB"})),
    }
    counts = hpcurate.run(stages, numbers(3), store=site.store).summary["stages"]["both"]
    assert (6, 6, 0, 0) == (counts["in"], counts["out"], counts["dropped"], counts["failed"])


def test_a_task_that_comes_right_at_its_third_try_is_no_dead_letter(site: Site) -> None:
    """It was one at once. The shard's record has the tries."""
    stage = Odd("flaky", str(site.folder / "notes"))
    options = StageOptions(resources={"memory": "100MB"}, backoff=0.01)
    outcome = hpcurate.run({"odd": Step(stage, options)}, numbers(3), store=site.store)
    counts = outcome.summary["stages"]["odd"]
    assert (RunState.COMPLETE, 3, 0) == (outcome.state, counts["out"], counts["failed"])
    [stats] = [stats for shard, stats in site.stats().items() if shard.startswith("odd-") and stats["retried"]]
    assert ({"3": 1}, {"ConnectionResetError": 2}, 1) == (stats["tries"], stats["retried"], stats["attempt"])


def test_a_task_that_hangs_gets_twice_the_time_and_is_named(site: Site) -> None:
    """Its dead letter says where it hung; none of the six processes that it starts is left, of either attempt."""
    stage = Odd("hang", str(site.folder / "notes"))
    options = StageOptions(resources={"memory": "100MB"}, task_timeout=0.7)
    outcome = hpcurate.run({"odd": Step(stage, options)}, numbers(3), store=site.store)
    assert {"out": 2, "failed": 1}.items() <= outcome.summary["stages"]["odd"].items()
    [letter] = [json.loads(row) for name, text in site.tree().items() if "failed" in name for row in text.splitlines()]
    assert ("n2", "timeout") == (letter["id"], letter["kind"])
    before, _, where = letter["message"].partition("; where it was: ")
    assert "task n2 took over 1.4 s" == before
    path, _, title = where.partition(", below ")
    assert "in _hang" in Path(path).read_text().partition(title.strip("'"))[2]
    pids = [int(word) for word in (site.folder / "notes").read_text().split()]
    assert len(pids) >= 12
    assert [] == [pid for pid in pids if start_time(pid) is not None]
