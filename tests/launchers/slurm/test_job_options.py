"""What jobs ask sbatch for: who comes first, and what arrays, gates and checks run. Pure."""

from __future__ import annotations

from typing import Any

import pytest
from planned import planned

from hpcurate.planning.plan import WorkerShape, worker_shape
from hpcurate.runs.launcher import GateRequest
from launchers.slurm import SlurmLauncher
from launchers.slurm.facts import PartitionFacts, SiteFacts
from launchers.slurm.gates import gate_job
from launchers.slurm.options import check_command, drain_seconds, flags, log_pattern, parts, worker_command

PROFILE = {"partitions": {"cpu": "c", "gpu": "g", "gate": "s"}, "account": "lab", "qos": "q", "constraint": "ib"}
GPU = {"resources": {"gpus": 2}}
PRECEDENCE: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, {}, {}, {"partition": None, "account": None, "qos": None, "constraint": None, "gres": None}),
    (PROFILE, {}, {}, {"partition": "c", "account": "lab", "qos": "q", "constraint": "ib"}),
    (PROFILE, {}, GPU, {"partition": "g", "gres": "gpu:2"}),
    ({"gres": "gres=gpu:a100:{n}"}, {}, GPU, {"gres": "gpu:a100:2"}),
    ({"gres": "gpus-per-node={n}"}, {}, GPU, {"gpus-per-node": "2", "gres": None}),
    (PROFILE, {"partition": "mine", "account": "me"}, {}, {"partition": "mine", "account": "me", "qos": "q"}),
    (PROFILE, {"sbatch": {"constraint": "x", "mail_type": "END"}}, {}, {"constraint": "x", "mail-type": "END"}),
    ({}, {}, {"sbatch": {"mem_per_cpu": "1G"}}, {"mem": None, "mem-per-cpu": "1G"}),
    ({}, {"sbatch": {"gpus": 2}}, GPU, {"gres": None, "gpus": 2}),
    (PROFILE, {"partition": "mine"}, {"sbatch": {"partition": "own", "mem": "7G"}}, {"partition": "own", "mem": "7G"}),
]


@pytest.mark.parametrize(("profile", "launcher", "use", "expected"), PRECEDENCE)
def test_the_place_of_use_comes_before_the_launcher_before_the_profile(
    profile: dict[str, Any], launcher: dict[str, Any], use: dict[str, Any], expected: dict[str, Any]
) -> None:
    """What nobody sets makes no flag."""
    stage = planned(**use)
    found = SlurmLauncher(site=profile, **launcher).settings.of_stage(stage, worker_shape(stage), 120)
    assert expected == {key: found.get(key) for key in expected}


def test_a_worker_asks_for_all_its_processes_together() -> None:
    """Cores and GPUs rounded up, memory, the disk that it writes to, and a signal before the end."""
    stage = planned(processes=3, resources={"cpus": 1.5, "gpus": 0.5, "memory": "2GB", "disk": "1GB", "time": "4m"})
    assert WorkerShape(cpus=5, gpus=2, memory_mb=6144) == worker_shape(stage)
    assert {
        "cpus-per-task": 5, "mem": "6144M", "time": 4, "signal": "B:USR2@60", "nodes": 1, "gres": "gpu:2", "tmp": "1024M",
    } == SlurmLauncher().settings.of_stage(stage, worker_shape(stage), 120)  # fmt: skip


def test_workers_of_a_node_have_it_to_themselves() -> None:
    """So there are as many on each, however many nodes there are: one element a node, all its processes together."""
    stage = planned(workers_per_node=2, workers=3, resources={"cpus": 4, "memory": "2GB", "time": "4m"})
    asked = SlurmLauncher().settings.of_stage(stage, worker_shape(stage), 120)
    expected = {"exclusive": True, "nodes": 1, "cpus-per-task": 8, "mem": "4096M"}
    assert expected == {key: asked[key] for key in expected}
    assert "--exclusive" in flags(asked)


@pytest.mark.parametrize(("drain_s", "time", "seconds"), [(120, "1h", 120), (120, "4m", 60), (30, "1m", 15)])
def test_the_signal_leaves_most_of_a_short_job(drain_s: float, time: str, seconds: int) -> None:
    """Never more than a quarter of the wall time before its end."""
    assert seconds == drain_seconds(drain_s, time)


def test_a_check_has_the_options_of_its_stage_and_little_time() -> None:
    """The partition and environment that the array will have."""
    stage = planned(sbatch={"partition": "own"})
    found = SlurmLauncher(account="lab").settings.of_check(stage, worker_shape(stage), 120)
    assert ("own", "lab", 10) == (found["partition"], found["account"], found["time"])


def test_gates_have_their_partition_and_their_mail() -> None:
    """The last stage's gate mails at the end, the others when they fail; the time fits the partition."""
    facts = SiteFacts(partitions=(PartitionFacts(name="s", max_minutes=2),))
    settings = SlurmLauncher(site={**PROFILE, "mail": "me@x"}, gate={"account": "small"}).settings
    found = settings.of_gate(facts, last=True)
    assert ("s", "small", 2, "me@x", "END,FAIL") == tuple(
        found[k] for k in ("partition", "account", "time", "mail-user", "mail-type")
    )
    assert "FAIL" == settings.of_gate(facts, last=False)["mail-type"]
    assert 30 == SlurmLauncher().settings.of_gate(SiteFacts(), last=True)["time"]


def test_a_gate_follows_all_arrays_of_its_round() -> None:
    """However they ended; it runs the frozen code, and waits for room for half of its time."""
    request = GateRequest(
        name="gate-one-r2", run_path="/s/runs/20260101", code="/s/c", stage="one", round=2, jobs=("7", "8"), last=False
    )
    settings = SlurmLauncher(python="py", setup=["b"], site={"setup": ["a"]}).settings
    job = gate_job(request, settings, SiteFacts())
    assert "afterany:7:8" == job.options["dependency"]
    assert ("/s/runs/20260101/gates", ("a", "b")) == (job.folder, job.setup)
    assert request.name == job.name
    assert "exec py -P /s/c/hpcurate/start.py hpcurate.runs.gate /s/runs/20260101 one 2 900" == job.command


@pytest.mark.parametrize(
    ("workers", "most", "arrays"), [(1, 4, [(0, 1)]), (4, 4, [(0, 4)]), (9, 4, [(0, 4), (4, 4), (8, 1)])]
)
def test_workers_are_split_where_an_array_is_short(workers: int, most: int, arrays: list[tuple[int, int]]) -> None:
    """First worker and number of elements of each array."""
    assert arrays == parts(workers, most)


def test_commands_are_quoted() -> None:
    """Nothing in a path is interpreted by a shell; the frozen code is started by its own script."""
    line = worker_command("/p y/python", "/c $x", "/s/it's", 3)
    assert ("exec '/p y/python' -P '/c $x/hpcurate/start.py' hpcurate.worker '/s/it'\"'\"'s' --offset 3") == line
    assert "exec py -P -m hpcurate.worker.check /f one" == check_command("py", None, "/f", "one")


def test_a_percent_sign_in_a_path_is_no_pattern() -> None:
    """Before, `%j` in the store's path was the job's id, and no log was written: the folder was not there."""
    assert "/s/100%%j/%%A/array-%A_%a.out" == log_pattern("/s/100%j/%A", "array-%A_%a.out")


def test_options_as_words() -> None:
    """A switch has no value; what is not set makes no word."""
    options: dict[str, Any] = {"mem": "1G", "exclusive": True, "requeue": False, "qos": None}
    assert ["--mem=1G", "--exclusive"] == flags(options)
