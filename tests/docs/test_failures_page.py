"""The page about failures is printed from the policies: `python tests/docs/test_failures_page.py > docs/failures.md`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpcurate.failures import POLICIES, Against, FailureKind

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failures.md"
KINDS = "slurm/test_kinds"
TASKS = f"{KINDS}::test_what_tasks_do_is_one_dead_letter_each"
SHOWN = {
    FailureKind.EXCEPTION: TASKS,
    FailureKind.CRASH: TASKS,
    FailureKind.OOM: "slurm/test_killed_for_memory::test_a_task_that_needs_more_memory_comes_through_in_a_round_that_has_it",
    FailureKind.GPU_OOM: TASKS,
    FailureKind.TIMEOUT: TASKS,
    FailureKind.WALLTIME: f"{KINDS}::test_a_shard_that_was_not_done_in_time_gets_a_round_with_twice_as_much",
    FailureKind.PREEMPTED: f"{KINDS}::test_a_preempted_worker_costs_its_shard_nothing",
    FailureKind.NODE: f"{KINDS}::test_a_node_that_fails_every_job_at_once_is_left_out",
    FailureKind.SETUP: f"{KINDS}::test_a_setup_that_fails_on_two_nodes_ends_the_stage",
    FailureKind.STORE: "runs/test_store_in_trouble::test_a_run_that_a_full_disk_ended_is_stalled",
    FailureKind.LOST: f"{KINDS}::test_a_worker_that_was_killed_blames_nobody",
    FailureKind.CANCELLED: "slurm/test_arrays_and_gates::test_cancel_stops_jobs_and_gates_and_the_command_goes_on",
}
"""Kind → the test in which it happens for real."""

HEAD = """\
# Failures

What can go wrong, how it is noticed, and what is done about it. `hpcurate why` names the kind of everything that
failed, and `hpcurate retry` with `--kind` tries the dead letters of one kind again. What to type in each case is on
the page about [recovering from failures](recovering-from-failures.md). This page is printed from the policies in
`hpcurate/failures.py`; what follows from them for a shard is decided in `hpcurate/verdict.py`.

| kind | noticed | counts against | then | in the end |
|---|---|---|---|---|
"""
BETWEEN = """
What a failure counts against:

"""
TESTS = """
A stage may bend this: `tries`, `retry_on`, `backoff`, `attempts`, `task_timeout`, `setup_timeout`, `max_memory`,
`max_time` ([every config field](reference.md)).

Each kind happens for real in a test, most of them in jobs of a real Slurm (below `tests/`). There was no GPU: `gpu_oom`
is raised there in the words of torch. Where there are no control groups, Slurm ends a job that takes too much memory as
`FAILED 0:9`, and that is what the test for `oom` has.

| kind | test |
|---|---|
"""


def page() -> str:
    """The page. Pure."""
    rows = [
        f"| `{kind.value}` | {p.seen} | {p.against.value} | {p.then} | {p.ends} |\n" for kind, p in POLICIES.items()
    ]
    means = [f"- **{one.value}**: {_meaning(one)}\n" for one in Against]
    tests = [f"| `{kind.value}` | `{SHOWN[kind]}` |\n" for kind in POLICIES]
    return "".join([HEAD, *rows, BETWEEN, *means, TESTS, *tests])


def _meaning(against: Against) -> str:
    """The docstring line of a member: classes do not keep them."""
    text = (ROOT / "hpcurate" / "failures.py").read_text().partition("class Against")[2]
    found = re.search(rf'    {against.name} = "{against.value}"\n    """(.*)"""', text)
    assert found is not None, against
    return found[1]


def test_the_page_is_what_the_policies_say() -> None:
    """Printed again whenever they change: see above."""
    assert page() == PAGE.read_text()


@pytest.mark.parametrize("kind", FailureKind, ids=lambda kind: kind.value)
def test_every_kind_has_a_test_that_exists(kind: FailureKind) -> None:
    """By file and name."""
    file, _, name = SHOWN[kind].partition("::")
    assert f"def {name}(" in (ROOT / "tests" / f"{file}.py").read_text()


if __name__ == "__main__":
    print(page(), end="")
