"""What squeue's answer says of jobs that were asked about. Pure."""

from __future__ import annotations

import pytest

from hpcurate.runs.launcher import Presence
from launchers.slurm.endings import FINAL
from launchers.slurm.queue import presence_of

OF_ONE = [
    ("", Presence.ABSENT),
    ("12_0|COMPLETED\n12_1|FAILED\n", Presence.ENDED),
    ("12_[4-9]|PENDING\n12_0|COMPLETED\n", Presence.ALIVE),
    ("12_0|COMPLETED\n12_1|RUNNING\n", Presence.ALIVE),
    ("12|COMPLETED\n", Presence.ENDED),
    ("13|COMPLETED\n", Presence.ABSENT),
]


@pytest.mark.parametrize(("text", "presence"), OF_ONE)
def test_an_array_has_ended_when_no_line_of_it_can_run(text: str, presence: Presence) -> None:
    """Elements that were cancelled before they began have no line. Nothing listed is no evidence."""
    assert presence is presence_of(("12",), text)


def test_all_jobs_that_were_asked_about_must_be_listed() -> None:
    """Arrays of one round: the controller forgets each by itself."""
    assert Presence.ABSENT is presence_of(("12", "13"), "12_0|COMPLETED\n")
    assert Presence.ENDED is presence_of(("12", "13"), "12_0|COMPLETED\n13_0|TIMEOUT\n")
    assert Presence.ALIVE is presence_of(("12", "13"), "13_0|RUNNING\n")
    assert Presence.ABSENT is presence_of((), "")


@pytest.mark.parametrize("state", sorted(FINAL))
def test_states_that_are_final(state: str) -> None:
    """PREEMPTED and NODE_FAIL stay only where the job is not queued again."""
    assert Presence.ENDED is presence_of(("7",), f"7|{state}\n")


@pytest.mark.parametrize(
    "state",
    [
        "PENDING",
        "RUNNING",
        "SUSPENDED",
        "COMPLETING",
        "CONFIGURING",
        "REQUEUED",
        "REQUEUE_HOLD",
        "REQUEUE_FED",
        "SPECIAL_EXIT",
        "RESIZING",
        "SIGNALING",
        "STAGE_OUT",
        "STOPPED",
        "REVOKED",
        "RECONFIG_FAIL",
        "POWER_UP_NODE",
        "EXPEDITING",
        "SOMETHING_NEW",
    ],
)
def test_states_that_may_run_again(state: str) -> None:
    """Also those that we do not know: an error here would declare the living dead."""
    assert Presence.ALIVE is presence_of(("7",), f"7|{state}\n")


def test_what_is_over() -> None:
    """Seen from outside: nothing of it is left, for certain or by one answer."""
    assert {Presence.ENDED, Presence.ABSENT} == {presence for presence in Presence if presence.over}
