"""Arrays: one of a round, and as large a one as the site takes."""

from __future__ import annotations

import time

import msgspec

from hpcurate.errors import LauncherError, SubmissionUnknown
from hpcurate.planning.plan import worker_shape
from hpcurate.runs.launcher import Submission
from launchers.slurm.limits import ASK_AGAIN_S, is_limit
from launchers.slurm.options import JobSettings, without_nodes, worker_command
from launchers.slurm.submit import BatchJob

ARRAY_LOG = "array-%A_%a.out"


def array_job(submission: Submission, settings: JobSettings, *, offset: int, elements: int) -> BatchJob:
    """The array of some of a round's workers, the first of them being `offset`. Pure."""
    plan = submission.plan
    return BatchJob(
        folder=submission.path,
        name=submission.name,
        options=without_nodes(
            settings.of_stage(plan.stage, worker_shape(plan.stage), plan.timing.drain_s), plan.exclude
        ),
        command=worker_command(settings.python, plan.code, submission.path, offset),
        log=ARRAY_LOG,
        setup=settings.setup_lines,
        elements=elements,
        parallel=settings.max_parallel,
    )


def submit_array(array: BatchJob, *, needed: bool, patience_s: float) -> str | None:
    """Its job id. Where a limit that nobody can see refuses it, a smaller one; None if not even one element.

    One that is `needed` waits for room for an element. Raises LauncherError; of one that is not needed only
    SubmissionUnknown: a refusal must not lose the ids of the arrays before it.
    """
    deadline = time.monotonic() + patience_s
    while True:
        elements = array.elements or 1
        try:
            return array.submit()
        except LauncherError as error:
            if isinstance(error, SubmissionUnknown) or (needed and not is_limit(error)):
                raise
            if not needed and (elements == 1 or not is_limit(error)):
                return None
            if elements == 1 and time.monotonic() >= deadline:
                raise
        if elements == 1:
            time.sleep(ASK_AGAIN_S)
        array = msgspec.structs.replace(array, elements=max(1, elements // 2))
