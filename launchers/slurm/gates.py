"""Gates: small jobs after an array that look at the store, submit what is next, and exit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from hpcurate.errors import GateRefused, LauncherError
from hpcurate.runs.launcher import GateRequest
from hpcurate.units import minutes
from launchers.slurm.clients import ask
from launchers.slurm.facts import SiteFacts, probe
from launchers.slurm.options import PATIENCE_S, JobSettings, gate_command

if TYPE_CHECKING:
    from launchers.slurm.submit import BatchJob

GATE_LOG = "gate-%j.out"


class SlurmGates(msgspec.Struct, frozen=True):
    """See `Gates`."""

    settings: JobSettings
    patience_s: float = PATIENCE_S

    def submit(self, gate: GateRequest) -> str:
        """See `Gates`. Where a submit limit leaves no room, an element of the array that has not begun gives way."""
        from launchers.slurm.limits import is_limit

        job = gate_job(gate, self.settings, probe(nodes=False))
        while True:
            try:
                return job.submit()
            except LauncherError as error:
                if not is_limit(error):
                    raise
                if not _give_way(gate.jobs):  # what it would have done, the others pull
                    raise GateRefused(str(error)) from None


def gate_job(gate: GateRequest, settings: JobSettings, facts: SiteFacts) -> BatchJob:
    """The job of a gate.

    `afterany` on all ids: fulfilled however they ended, never `DependencyNeverSatisfied`.
    """
    from launchers.slurm.submit import BatchJob

    options = settings.of_gate(facts, last=gate.last)
    patience_s = minutes(str(options["time"])) * 60 // 2  # it may wait for room for half of its time
    return BatchJob(
        folder=os.path.join(gate.run_path, "gates"),
        name=gate.name,
        options={**options, "dependency": f"afterany:{':'.join(gate.jobs)}"},
        command=gate_command(settings.python, gate, patience_s),
        log=GATE_LOG,
        setup=settings.setup_lines,
    )


def _give_way(jobs: Sequence[str]) -> bool:
    """Cancel the last element of an array that has not begun, to make room for the gate; not the only one."""
    answer = ask(["squeue", "-h", "-r", "-j", ",".join(jobs), "-o", "%i %T"]) or ""
    rows = [line.split() for line in answer.splitlines()]
    waiting = [id for id, state in rows if state == "PENDING"]
    if len(rows) < 2 or not waiting:
        return False
    ask(["scancel", waiting[-1]])
    return True
