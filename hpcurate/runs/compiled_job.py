"""What an array or a gate of a compiled folder is: `python -m hpcurate.runs.compiled_job array|gate STORE IDENTITY …`.

It finds the run, and what the run has taken it for: a worker of a round, or the gate after one. Then it is that worker
or gate, with its log where that of any other is. An array that nobody has taken leaves; a gate then only looks.
"""

from __future__ import annotations

import os
import sys

from hpcurate.planning.plan import Plan
from hpcurate.runs import gate
from hpcurate.runs.folder import Run, run_of
from hpcurate.runs.waiting_jobs import submission_of
from hpcurate.start import module_command
from hpcurate.store.access import keep_private
from hpcurate.store.layout import Store
from hpcurate.system.allocation import Allocation


def main(argv: list[str]) -> int:
    """One element, or one gate."""
    keep_private()
    what, store, identity, *more = argv
    run, job = run_of(Store.at(store), identity), Allocation.here()
    id = job.array_job_id or job.job_id or ""
    if run is None:
        return _leave(f"there is no run {identity[:16]} in {store}: the job that starts it did not come so far")
    submission = submission_of(run, id)
    if what == "gate":
        return _gate(run, id, submission, *more)
    if not submission:
        return _leave(f"run {run.name} has no round for array {id}: its work is done, or other jobs have it")
    return _worker(os.path.join(run.path, "submissions", submission), job)


def _leave(why: str) -> int:
    print(f"nothing to do: {why}", flush=True)
    return 0


def _worker(path: str, job: Allocation) -> int:
    """Become the worker, with the code of its plan; one that the plan has no use for leaves."""
    plan, index = Plan.load(path), job.array_task_id or 0
    if index >= plan.workers:
        return _leave(f"{path} is for {plan.workers} workers")
    _log_to(os.path.join(path, f"array-{job.element}.out"))
    code, _, others = os.environ.get("PYTHONPATH", "").partition(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": others}
    os.execve(sys.executable, module_command(sys.executable, plan.code or code, "hpcurate.worker", path), environment)


def _gate(run: Run, id: str, submission: str, patience: str) -> int:
    stage, _, number = submission.rpartition("-")
    _log_to(os.path.join(run.path, "gates", f"gate-{id}.out"))
    return gate.main([run.path, stage, number, patience])


def _log_to(path: str) -> None:
    """Where this is not in Slurm's log, that says where it is."""
    print(f"log: {path}", flush=True)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
