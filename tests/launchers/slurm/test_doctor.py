"""The doctor: what a node reports, what it means, and the profile that fits."""

from __future__ import annotations

from shell import Shell

from hpcurate.site import SiteProfile
from launchers.slurm.controller import Controller, read_controller
from launchers.slurm.doctor import profile_from
from launchers.slurm.facts import PartitionFacts, SiteFacts
from launchers.slurm.findings import findings
from launchers.slurm.probe_job import Disk, NodeReport, read_report

FACTS = SiteFacts(partitions=(PartitionFacts(name="cpu"), PartitionFacts(name="gpu", gpus=4)), default="cpu")
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
    printed = {f.what: f"{f.value} {f.meaning}" for f in findings(seen, NodeReport(), "/s")}
    assert "hpcurate does not need it" in printed["accounting"]
    assert "workers are fewer" in printed["submit limit"]
    assert "every job of hpcurate sets --mem" in printed["default memory"]
    assert "compute nodes do not see /s" in printed["probe job"]


def test_a_node_is_fit_where_workers_could_run() -> None:
    """The whole report arrived, the store is seen, Python starts; gates are not needed."""
    assert read_report(REPORT).ok
    assert [False, False, False] == [
        read_report(text).ok
        for text in (REPORT.replace("end=", ""), REPORT.replace("store=seen", ""), REPORT.replace("3.11.7", ""))
    ]


def test_the_doctor_where_there_is_no_slurm(shell: Shell) -> None:
    """Runs work on this machine."""
    printed = shell.type("doctor", PATH="/nowhere").stdout
    assert "there is no Slurm client here" in printed
