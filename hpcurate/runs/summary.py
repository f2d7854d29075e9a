"""`summary.json`: where a run stands, and what to type next (design §11)."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import Any

from hpcurate.planning.plan import submission_name
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.reconcile import Look
from hpcurate.runs.state import RunState


def summary_of(run: Run, frozen: Frozen, look: Look) -> dict[str, Any]:
    """The content of `summary.json`."""
    state = look.decision.state
    return {
        "run": run.name,
        "pipeline": frozen.pipeline.name,
        "state": state.value,
        "reason": _with_setup_failure(run, look),
        "as_of": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "stages": {view.name: view.counts.to_json() for view in look.views},
        "output": frozen.output,
        "next": _next(run, state),
    }


def write_summary(run: Run, summary: dict[str, Any]) -> None:
    """Write it; a run's owner alone can."""
    with suppress(OSError):
        run.filesystem.replace(run.summary_json, json.dumps(summary, indent=1).encode() + b"\n")


def _next(run: Run, state: RunState) -> str:
    where = f"--store {run.store.root}"
    return {
        RunState.RUNNING: f"hpcurate status {run.name} {where}",
        RunState.COMPLETE: "",
        RunState.FAILED: f"hpcurate logs {run.name} --failed {where}; then fix it, or raise budget.failed",
        RunState.STALLED: f"hpcurate logs {run.name} {where}; then type the run's command again",
        RunState.INCOMPLETE: "type the run's command again",
        RunState.CANCELLED: "type the run's command again to continue",
    }[state]


def _with_setup_failure(run: Run, look: Look) -> str:
    """Why a stage stalled, in the words of the worker that could not set it up."""
    reason = look.decision.reason
    if look.decision.state is not RunState.STALLED:
        return reason
    view = next(v for v in look.views if v.ready and not v.complete)
    path = os.path.join(run.path, "submissions", submission_name(view.name, view.rounds[-1].number), "failure.json")
    with suppress(OSError, ValueError):
        reason += "; " + json.loads(run.filesystem.read(path))["message"]
    return reason
