"""How elements ended, from recorded output of a Slurm 22.05, and of sites that we have not. Pure."""

from __future__ import annotations

import msgspec
import pytest

from hpcurate.failures import AGAINST, Against, Ending, JobEnd
from launchers.slurm.endings import BY_STATE, FINAL, accounts_of, endings_of, unexplained

QUEUED = """\
1_5|CANCELLED
1_0|COMPLETED
1_1|FAILED
1_2|FAILED
1_3|FAILED
1_4|TIMEOUT
2|PREEMPTED
3|PENDING
4_[0,4-9%2]|PENDING
"""
ACCOUNTED = """\
2|PREEMPTED|0:0||billing=16,cpu=16,mem=10M,node=1|1
2.batch|CANCELLED|0:15|3012K|cpu=16,mem=10M,node=1|1
1_0|COMPLETED|0:0||billing=1,cpu=1,mem=20M,node=1|1
1_0.batch|COMPLETED|0:0||cpu=1,mem=20M,node=1|1
1_1|FAILED|3:0||billing=1,cpu=1,mem=20M,node=1|1
1_1.batch|FAILED|3:0||cpu=1,mem=20M,node=1|1
1_2|FAILED|0:9||billing=1,cpu=1,mem=20M,node=1|1
1_2.batch|CANCELLED|0:9||cpu=1,mem=20M,node=1|1
1_3|FAILED|0:9||billing=1,cpu=1,mem=20M,node=1|1
1_3.batch|CANCELLED by 0|0:9|61684K|cpu=1,mem=20M,node=1|1
1_4|TIMEOUT|0:0||billing=1,cpu=1,mem=20M,node=1|1
1_4.batch|FAILED|15:0|3156K|cpu=1,mem=20M,node=1|1
1_5|CANCELLED by 0|0:0||billing=1,cpu=1,mem=20M,node=1|1
1_5.batch|CANCELLED|0:15|3172K|cpu=1,mem=20M,node=1|1
"""
NOT_MEMORY = {
    "1_4": Ending.WALLTIME,
    "1_5": Ending.FREE,
    "2": Ending.FREE,
}
RECORDED = {**NOT_MEMORY, "1_3": Ending.OOM}


def said(queued: str, accounted: str) -> dict[str, Ending]:
    """Element → its ending alone."""
    return {id: end.ending for id, end in endings_of(queued, accounted).items()}


def test_endings_of_recorded_output() -> None:
    """Killed for memory without a cgroup; timed out; cancelled; preempted. What left by itself stands nowhere."""
    assert RECORDED == said(QUEUED, ACCOUNTED)


def test_without_accounting_memory_is_not_known() -> None:
    """What the controller remembers, no more; a killed element is not one for memory."""
    assert NOT_MEMORY == said(QUEUED, "")


def test_from_accounting_alone() -> None:
    """After the controller has forgotten the jobs."""
    assert RECORDED == said("", ACCOUNTED)


def test_what_a_killed_element_had_and_used_is_known() -> None:
    """In MiB: what `why` shows, and what the next round is measured by."""
    assert JobEnd(ending=Ending.OOM, memory_mb=20, peak_mb=60) == endings_of(QUEUED, ACCOUNTED)["1_3"]


ON_NODES = """\
1_0|FAILED|1:0||mem=1G|1|cpu0
1_0.batch|FAILED|1:0||mem=1G|1|cpu0
1_1|COMPLETED|0:0||mem=1G|1|cpu1
1_2|NODE_FAIL|0:0||mem=1G|1|cpu2
1_2|COMPLETED|0:0||mem=1G|1|cpu1
1_3|NODE_FAIL|0:0||mem=1G|1|cpu2
1_4|FAILED|1:0||mem=1G|2|cpu[0-1]
1_5|FAILED|1:0||mem=1G|1|None assigned
"""
BROKE = JobEnd(node="cpu2", node_failed=True)


def test_where_an_element_failed_and_which_node_broke_down() -> None:
    """Of an element that was begun again on another node, too; of several nodes nobody knows which one it was."""
    expected = {
        "1_0": JobEnd(node="cpu0"),
        "1_2": BROKE,
        "1_3": msgspec.structs.replace(BROKE, ending=Ending.FREE, memory_mb=1024),
    }
    assert expected == endings_of("", ON_NODES)


def test_without_accounting_the_controller_names_nodes() -> None:
    """For five minutes."""
    queued = "1_0|FAILED|cpu0\n1_1|COMPLETED|cpu1\n1_2|NODE_FAIL|cpu2\n1_[3-4]|PENDING|\n"
    assert {"1_0": JobEnd(node="cpu0"), "1_2": msgspec.structs.replace(BROKE, ending=Ending.FREE)} == endings_of(
        queued, ""
    )


def test_nothing_is_known_of_nothing() -> None:
    """No answer from either."""
    assert {} == said("", "")


@pytest.mark.parametrize(("state", "ending"), BY_STATE.items())
def test_every_state_says_the_same_in_queue_and_accounting(state: str, ending: Ending) -> None:
    """And counts against the work only where memory, or time, ran out."""
    assert {"7_1": ending} == said(f"7_1|{state}\n", "")
    assert {"7_1": ending} == said("", f"7_1|{state} by 1000|0:15||mem=1G|1\n")
    against = {Ending.OOM: Against.SHARD, Ending.WALLTIME: Against.ROUND}
    assert against.get(ending, Against.NOTHING) is AGAINST[ending]


def test_states_that_say_nothing() -> None:
    """The worker left by itself, is there yet, or left no evidence."""
    silent = sorted(FINAL - BY_STATE.keys())
    assert ["COMPLETED", "FAILED"] == silent
    for state in (*silent, "RUNNING", "PENDING", "REQUEUED"):
        assert {} == said(f"7|{state}\n", "")


KILLED = [
    ("FAILED", "0:9", "950K", "mem=1000K", "1", True),
    ("FAILED", "0:9", "949K", "mem=1000K", "1", False),
    ("FAILED", "0:9", "1.95G", "cpu=4,mem=4G,node=2", "2", True),
    ("FAILED", "0:9", "1.90G", "cpu=4,mem=4G", "1", False),
    ("FAILED", "0:9", "", "mem=1000K", "1", False),
    ("FAILED", "0:9", "1G", "cpu=1,node=1", "1", False),
    ("FAILED", "1:0", "990K", "mem=1000K", "1", False),
    ("COMPLETED", "0:0", "990K", "mem=1000K", "1", False),
    ("CANCELLED", "0:9", "990K", "mem=1000K", "1", False),
    ("RUNNING", "0:9", "990K", "mem=1000K", "1", False),
]


@pytest.mark.parametrize(("state", "exit", "peak", "tres", "nodes", "memory"), KILLED)
def test_killed_with_its_memory_full(state: str, exit: str, peak: str, tres: str, nodes: str, memory: bool) -> None:
    """Where there are no cgroups, `FAILED 0:9` at 95 % of what the node gave; a cancel or a time limit kills, too."""
    text = f"7_1|{state}|{exit}||billing=1,{tres}|{nodes}\n7_1.batch|CANCELLED|{exit}|{peak}|{tres}|{nodes}\n"
    assert memory is (said("", text).get("7_1") is Ending.OOM)


def test_a_step_out_of_memory_comes_before_the_state_of_its_job() -> None:
    """oom > crash > timeout: a job may time out after its step was killed."""
    text = "7|TIMEOUT|0:0||mem=1G|1\n7.batch|OUT_OF_MEMORY|0:125|1K|mem=1G|1\n7.extern|COMPLETED|0:0||mem=1G|1\n"
    assert {"7": Ending.OOM} == said("", text)


def test_of_a_job_that_was_queued_again_the_word_is_not_believed() -> None:
    """Recorded with `sacct -D`, but for the end. Its first time had been alone with a task, which became a dead letter
    when the second one, with another task, ran out of memory (found by the simulation).
    """
    text = """\
1|REQUEUED|0:0||billing=1,cpu=1,mem=100M,node=1|1
1.batch|CANCELLED|0:15|2996K|cpu=1,mem=100M,node=1|1
1|OUT_OF_MEMORY|0:125||billing=1,cpu=1,mem=100M,node=1|1
1.batch|OUT_OF_MEMORY|0:125|99M|cpu=1,mem=100M,node=1|1
"""
    assert {} == said("1|OUT_OF_MEMORY\n", text)
    assert {"1": Ending.OOM} == said("1|OUT_OF_MEMORY\n", text[text.index("1|OUT") :])


def test_the_queue_is_newer_than_accounting() -> None:
    """An element that runs again has not ended, whatever accounting has of its last time."""
    text = "7_1|PREEMPTED|0:15||mem=1G|1\n7_1.batch|OUT_OF_MEMORY|0:9|1K|mem=1G|1\n"
    assert {} == said("7_1|RUNNING\n", text)


def test_lines_that_are_none_are_left_out() -> None:
    """A site's banner, a line cut short."""
    assert [] == accounts_of("Welcome!\n7|FAILED\n")


def test_a_failure_that_accounting_has_no_step_of_yet() -> None:
    """It is asked once more; of any other ending nothing more is to be learned."""
    assert unexplained("7_1|FAILED\n", "7_1|FAILED|0:9||mem=1G|1\n")
    assert not unexplained("7_1|FAILED\n", "7_1|FAILED|0:9||mem=1G|1\n7_1.batch|CANCELLED|0:9||mem=1G|1\n")
    assert not unexplained("7_1|TIMEOUT\n7_2|COMPLETED\n", "")
