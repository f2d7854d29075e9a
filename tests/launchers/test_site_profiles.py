"""Site profiles and preflight: what is said once, what comes first, and what is refused before it is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shell import LOCAL, Shell

from hpcurate.errors import ConfigError
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.site import SiteProfile, load_site, profile_of, to_yaml
from launchers.slurm.doctor import Controller, findings, profile_from, read_controller
from launchers.slurm.facts import gpus_of, largest_nodes, read_facts, read_submit_limit, slurm_minutes
from launchers.slurm.launcher import SlurmLauncher
from launchers.slurm.preflight import Asked, PartitionFacts, SiteFacts, asked_of, problems, store_problem
from launchers.slurm.probe_job import Disk, NodeReport, read_report
from stages.hello import LowerCase, Prompts


def stage(**options: Any) -> PlannedStage:
    """A planned stage."""
    return build("p", Prompts(("a",)), {"one": Step(LowerCase(), StageOptions(**options))}).stages[0]


def options(launcher: SlurmLauncher, planned: PlannedStage) -> dict[str, Any]:
    """What its array would say."""
    return launcher.stage_options(planned, plan_needs(planned))


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
    """And what nobody says leaves no flag."""
    found = options(SlurmLauncher(site=profile, **launcher), stage(**use))
    assert expected == {key: found.get(key) for key in expected}


def test_gates_have_their_partition_and_their_mail() -> None:
    """The last stage's gate tells of the end, the others of failures; the time fits the partition."""
    facts = SiteFacts(partitions=(PartitionFacts(name="s", max_minutes=2),))
    launcher = SlurmLauncher(site={**PROFILE, "mail": "me@x"}, gate={"account": "small"})
    found = launcher.gate_options(facts, last=True)
    assert ("s", "small", 2, "me@x", "END,FAIL") == tuple(
        found[k] for k in ("partition", "account", "time", "mail-user", "mail-type")
    )
    assert "FAIL" == launcher.gate_options(facts, last=False)["mail-type"]
    assert 30 == SlurmLauncher().gate_options(SiteFacts(), last=True)["time"]


def test_a_site_whose_jobs_may_not_submit_has_no_gates() -> None:
    """The call stays; nothing is submitted from a job."""
    launcher = SlurmLauncher(site={"nodes_may_submit": False})
    assert (True, False) == (launcher.stays, launcher.gates)
    assert None is launcher.submit_gate("/r", "/c", "one", 1, ["7"], last=True)
    assert (False, True) == (SlurmLauncher().stays, SlurmLauncher().gates)


# -- profiles ---------------------------------------------------------------------------------------

BAD = [
    ({"acount": "x"}, "acount: there is no such key; did you mean 'account'?"),
    ({"partitions": {"gpus": "x"}}, "partitions.gpus: there is no such kind of job; did you mean 'gpu'?"),
    ({"gres": "gpu"}, "gres=gpu: expected option=value"),
    ({"setup": "module load"}, "Expected `array`"),
]


@pytest.mark.parametrize(("values", "told"), BAD)
def test_a_bad_profile_is_refused(values: dict[str, Any], told: str) -> None:
    """With the key and the nearest right one."""
    with pytest.raises(ConfigError) as refused:
        profile_of(values, "site")
    assert told in str(refused.value)


def test_a_profile_is_written_with_its_help_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was; what the command line says goes over it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    profile = profile_of({**PROFILE, "setup": ["module load x", "ulimit -n 9"], "nodes_may_submit": False}, "x")
    (tmp_path / "hpcurate").mkdir()
    (tmp_path / "hpcurate" / "site.yaml").write_text(to_yaml(profile))
    assert profile == load_site({"use": "auto"})
    assert "me" == load_site({"use": "auto", "account": "me"}).account
    assert SiteProfile() == load_site({})
    (tmp_path / "hpcurate" / "site.yaml").write_text("a: b\n{c: d}\n")
    with pytest.raises(ConfigError, match=r"site\.yaml: not YAML"):
        load_site({"use": "auto"})


def test_the_profiles_store_is_used_where_none_is_named(shell: Shell) -> None:
    """By runs and verbs; a project's profile is chosen by name."""
    (shell.folder / "config" / "hpcurate").mkdir(parents=True)
    (shell.folder / "config" / "hpcurate" / "site.yaml").write_text(f"store: {shell.store}\n")
    shell.type("+pipeline=words", LOCAL)
    assert "complete" in shell.type("status").stdout
    (shell.cwd / "conf" / "site").mkdir(parents=True)
    (shell.cwd / "conf" / "site" / "ours.yaml").write_text("account: lab\n")
    assert "account: lab" in shell.type("+pipeline=words", "site=ours", "--cfg").stdout
    assert "did you mean 'ours'" in shell.type("+pipeline=words", "site=our", status=2).stderr


def test_the_doctor_where_there_is_no_slurm(shell: Shell) -> None:
    """Says that runs work on this machine."""
    told = shell.type("doctor", PATH="/nowhere").stdout
    assert "there is no Slurm client here" in told


# -- preflight --------------------------------------------------------------------------------------

FACTS = SiteFacts(
    partitions=(
        PartitionFacts(name="cpu", max_minutes=60, cpus=16, memory_mb=20000),
        PartitionFacts(name="gpu", cpus=8, memory_mb=8000, gpus=4, accounts=("lab",)),
        PartitionFacts(name="down", up=False),
    ),
    default="cpu",
)
FITS = {"partition": None, "minutes": 60, "cpus": 16, "memory_mb": 20000, "gpus": 0}
ASKED = [
    ({}, ""),
    ({"minutes": 61}, "stages.s.resources.time=61 min: partition cpu allows 60 min; set stages.s.resources.time=60m"),
    ({"cpus": 17}, "stages.s.resources.cpus: one worker asks for 17 cores, the largest node of partition cpu has 16"),
    ({"memory_mb": 20001}, "stages.s.resources.memory: one worker asks for 20001 MB"),
    ({"gpus": 1}, "stages.s.resources.gpus: one worker asks for 1 GPUs, the largest node of partition cpu has 0"),
    ({"partition": "gpu", "cpus": 8, "memory_mb": 8000, "gpus": 4, "minutes": 9999}, ""),
    (
        {"partition": "gpu", "cpus": 8, "memory_mb": 8000, "account": "me"},
        "partition gpu takes the accounts lab, not me",
    ),
    ({"partition": "gpy"}, "partition gpy: there is no such partition; did you mean 'gpu'?"),
    ({"partition": "down"}, "partition down is not up; these are: cpu, gpu"),
    ({"partition": "down,cpu"}, ""),
    ({"partition": "gpu,cpu", "minutes": 61, "cpus": 9}, "partition gpu has 8"),
]


@pytest.mark.parametrize(("changes", "told"), ASKED)
def test_what_the_site_would_refuse_is_refused_with_the_fix(changes: dict[str, Any], told: str) -> None:
    """Key, what was asked, what there is; of several partitions one must do."""
    found = problems({"s": Asked(**{**FITS, **changes})}, FACTS)
    assert (bool(told), True) == (bool(found), told in "".join(found))


def test_a_site_without_a_default_partition() -> None:
    """Needs one to be named."""
    assert ["launcher.partition: the site has no default; there are: a"] == problems(
        {"s": Asked(**FITS)}, SiteFacts(partitions=(PartitionFacts(name="a"),))
    )


def test_unknown_sizes_refuse_nothing() -> None:
    """A partition whose nodes sinfo does not show."""
    assert [] == problems(
        {"s": Asked(**{**FITS, "gpus": 9})}, SiteFacts(partitions=(PartitionFacts(name="x"),), default="x")
    )


def test_ones_own_spelling_of_options_counts() -> None:
    """`sbatch.gres`, `sbatch.time`, `sbatch.mem` at the place of use."""
    planned = stage(sbatch={"gres": "gpu:h100:3", "time": "2:00:00", "mem": "9GB", "partition": "p"})
    asked = asked_of(planned, options(SlurmLauncher(account="a"), planned))
    assert Asked(partition="p", minutes=120, cpus=1, memory_mb=asked.memory_mb, gpus=3, account="a") == asked
    assert 8000 < asked.memory_mb < 9500


STORES = [
    ("/shared/s", ["/tmp"], True, "/shared/s", None),
    ("/tmp/s", ["/scratch", "/tmp/"], None, None, "which is each node's own disk"),
    ("/tmpfoo/s", ["/tmp"], None, None, None),
    ("/home/s", [], False, "/home/s", "did not see it"),
    ("/other/s", [], False, "/home/s", None),
]


@pytest.mark.parametrize(("store", "local", "seen", "known", "told"), STORES)
def test_a_store_that_nodes_do_not_see_is_refused(
    store: str, local: list[str], seen: bool | None, known: str | None, told: str | None
) -> None:
    """As far as the profile knows; never wrongly."""
    found = store_problem(store, local, seen, known)
    assert (found is None) if told is None else (found is not None and told in found)


# -- what Slurm prints ------------------------------------------------------------------------------


def test_facts_are_read_from_what_slurm_prints() -> None:
    """Partitions, limits, the largest node of each."""
    facts = read_facts(
        "MaxArraySize            = 4\n",
        "PartitionName=a Default=YES MaxTime=2-01:30:00 State=UP AllowAccounts=x,y PreemptMode=REQUEUE\n"
        "PartitionName=b MaxTime=UNLIMITED State=DOWN\n",
        "a|16|20000|(null)\na|8|40000+|gpu:a100:4(S:0-1)\nb|1|1|gpu:2\n",
    )
    assert facts == SiteFacts(
        max_array=4,
        default="a",
        partitions=(
            PartitionFacts(name="a", max_minutes=2970, cpus=16, memory_mb=40000, gpus=4, accounts=("x", "y"), preempt_mode="REQUEUE"),
            PartitionFacts(name="b", up=False, cpus=1, memory_mb=1, gpus=2),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "minutes"), [("30:00", 30), ("1:00:59", 60), ("7", 7), ("3-00:00:00", 4320), ("UNLIMITED", None)]
)
def test_slurms_times(text: str, minutes: int | None) -> None:
    """As scontrol prints them."""
    assert minutes == slurm_minutes(text)


@pytest.mark.parametrize(
    ("gres", "count"), [("(null)", 0), ("gpu:4", 4), ("gpu:a100:2,gpu:b:1", 3), ("gpu", 1), ("fs:1,gpu:x:8(S:0)", 8)]
)
def test_slurms_gpus(gres: str, count: int) -> None:
    """As sinfo prints them."""
    assert count == gpus_of(gres)


LIMITS = [
    ("", "", None, None, None),
    ("lab|6||\n", "", None, None, 6),
    ("lab|6|normal|\nold|9||\n", "normal|4\nhigh|2\n", None, None, 4),
    ("lab|6|normal|\n", "normal|4\nhigh|2\n", None, "high", 2),
    ("lab|6||\nold|9||\n", "", "old", None, 9),
    ("lab|||normal,high\n", "normal|\n", None, None, None),
    ("lab|||high,normal\n", "normal|4\nhigh|2\n", None, None, None),
    ("lab|||high\n", "normal|4\nhigh|2\n", None, None, 2),
]


@pytest.mark.parametrize(("associations", "qualities", "account", "qos", "limit"), LIMITS)
def test_the_submit_limit_is_the_smallest_that_applies(
    associations: str, qualities: str, account: str | None, qos: str | None, limit: int | None
) -> None:
    """Of the account used, and of the quality of service used."""
    assert limit == read_submit_limit(associations, qualities, account, qos)


REPORT = "node=cpu0\nstore=seen\npython=3.11.7\nsubmit=no sbatch: fatal: x\ngpus=2\ndisk=/tmp|ext2/ext3|900\ndisk=/shm|tmpfs|5\nend=\n"


def test_a_report_of_the_probe_job() -> None:
    """And of the job after it on the same node."""
    found = read_report(REPORT, "kept=/tmp\nend=\n")
    assert found == NodeReport(
        node="cpu0", sees_store=True, may_submit=False, refusal="sbatch: fatal: x", python="3.11.7", gpus=2, complete=True,
        disks=(Disk(path="/tmp", type="ext2/ext3", free_mb=900, outlives=True), Disk(path="/shm", type="tmpfs", free_mb=5, outlives=False)),
    )  # fmt: skip
    assert [True, False] == [disk.local for disk in found.disks]
    assert (False, None) == (read_report("node=x\n").complete, read_report("node=x\n").may_submit)


def test_a_profile_keeps_what_was_written_by_hand() -> None:
    """And fills in what the probe found; a disk that holds the store is not the nodes' own."""
    seen = Controller(cluster="c", facts=FACTS)
    node = read_report(REPORT.replace("/tmp", "/local"), "kept=/local\nend=\n")
    old = SiteProfile(account="lab", partitions={"gate": "cpu"})
    assert SiteProfile(
        cluster="c", account="lab", partitions={"cpu": "cpu", "gpu": "gpu", "gate": "cpu"}, node_local=["/local"],
        store="/s", nodes_see_store=True, nodes_may_submit=False,
    ) == profile_from(seen, node, "/s", old)  # fmt: skip
    assert [] == profile_from(seen, node, "/local/s", old).node_local


def test_every_finding_is_explained_where_it_matters() -> None:
    """Accounting off, no default memory, a node that sees nothing."""
    seen = read_controller("ClusterName = c\nSLURM_VERSION = 22\n", FACTS, 6, False)
    told = {f.what: f"{f.value} {f.meaning}" for f in findings(seen, NodeReport(), "/s")}
    assert "nothing here needs it" in told["accounting"]
    assert "workers are fewer" in told["submit limit"]
    assert "every job of hpcurate says --mem" in told["default memory"]
    assert "compute nodes do not see /s" in told["probe job"]


def test_the_largest_node_need_not_be_one_node() -> None:
    """Most cores and most memory may stand on two; then Slurm itself refuses."""
    assert {"a": (16, 90, 0)} == largest_nodes("a|16|10|(null)\na|1|90|(null)\n")
