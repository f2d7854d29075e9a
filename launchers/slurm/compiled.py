"""A run as a folder of scripts: the job that starts it, an array and a gate for each stage, what submits them. Pure.

Each array is held by the start and by the gates of the stages that it reads, each gate by its array. `afterok` the
start, with `kill-on-invalid-dep`: where that fails nothing else begins. `afterany` of the others: what a gate finds is
in the store, however its array ended.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hpcurate.errors import LauncherError
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.plan import worker_shape
from hpcurate.runs.compiled import Compiled
from hpcurate.units import minutes
from launchers.slurm.arrays import ARRAY_LOG
from launchers.slurm.facts import SiteFacts
from launchers.slurm.gates import GATE_LOG
from launchers.slurm.options import JobSettings, compiled_command, start_command
from launchers.slurm.submit import BatchJob

START = "00-start.sbatch"
START_LOG = "start-%j.out"
SPARE = 2
"""Jobs that a submit limit has to leave room for: the array and the gate of a second round."""


class Scripts(msgspec.Struct, frozen=True, kw_only=True):
    """All that the scripts of a folder are made of."""

    folder: str
    pipeline: Pipeline
    """Its stages with a time instead of `auto`."""
    compiled: Compiled
    settings: JobSettings
    facts: SiteFacts
    elements: Mapping[str, int]
    """Of each stage's array."""

    def all(self) -> dict[str, str]:
        """Each by its name in the folder."""
        found = {START: self._start().script()}
        for stage in self.pipeline.stages:
            array, gate = files_of(self.pipeline, stage)
            found |= {array: self._array(stage).script(), gate: self._gate(stage).script()}
        return {**found, "submit.sh": submit_script(self.folder, self.pipeline)}

    def _start(self) -> BatchJob:
        command = start_command(self.settings.python, self.folder, self._code)
        return self._job(self.compiled.start, self.settings.of_gate(self.facts, last=False), command, START_LOG)

    def _array(self, stage: PlannedStage) -> BatchJob:
        options = self.settings.of_stage(stage, worker_shape(stage), self.pipeline.timing.drain_s)
        job = self._job(self.compiled.array(stage.name), options, self._command("array"), ARRAY_LOG)
        return msgspec.structs.replace(job, elements=self.elements[stage.name], parallel=self.settings.max_parallel)

    def _gate(self, stage: PlannedStage) -> BatchJob:
        options = self.settings.of_gate(self.facts, last=stage is self.pipeline.stages[-1])
        command = self._command("gate", str(minutes(str(options["time"])) * 60 // 2))
        return self._job(self.compiled.gate(stage.name), options, command, GATE_LOG)

    def _command(self, *words: str) -> str:
        what, *more = words
        named = [what, self.compiled.store, self.compiled.identity, *more]
        return compiled_command(self.settings.python, named, self._code)

    @property
    def _code(self) -> str:
        return os.path.join(self.folder, self.compiled.code)

    def _job(self, name: str, options: Mapping[str, Any], command: str, log: str) -> BatchJob:
        return BatchJob(
            folder=os.path.join(self.folder, "logs"),
            name=name,
            options={"chdir": self.compiled.folder, **options, "kill-on-invalid-dep": "yes"},
            command=command,
            log=log,
            setup=self.settings.setup_lines,
        )


def files_of(pipeline: Pipeline, stage: PlannedStage) -> tuple[str, str]:
    """Names of a stage's two scripts."""
    number = 1 + pipeline.stages.index(stage)
    return f"{number:02d}-{stage.name}.sbatch", f"{number:02d}-{stage.name}.gate.sbatch"


def fitting(wanted: Mapping[str, int], limit: int | None) -> dict[str, int]:
    """Elements of each array, so many that all jobs may be queued at once. Raises LauncherError if none would be left.

    A submit limit counts elements, gates and the start alike; the largest array gives way first.
    """
    found = dict(wanted)
    room = None if limit is None else limit - SPARE - 1 - len(found)
    if room is not None and room < len(found):
        needed = SPARE + 1 + 2 * len(found)
        raise LauncherError(
            f"compile: the site lets you queue {limit} jobs, and this folder needs {needed} at least, all at once; "
            "type the run's command instead, whose gates submit one stage after the other"
        )
    while room is not None and sum(found.values()) > room:
        largest = max(found, key=found.__getitem__)
        found[largest] -= 1
    return found


def submit_script(folder: str, pipeline: Pipeline) -> str:
    """What submits all of it: plain lines, each of which may be typed."""
    lines = [line for stage in pipeline.stages for line in _lines(pipeline, stage)]
    return _SUBMIT.format(folder=shlex.quote(folder), start=START, lines="\n".join(lines))


def _lines(pipeline: Pipeline, stage: PlannedStage) -> Sequence[str]:
    number = {other.name: 1 + place for place, other in enumerate(pipeline.stages)}
    own, (array, gate) = number[stage.name], files_of(pipeline, stage)
    before = "".join(f":$gate{number[name]}" for name in stage.behind)
    held = f"afterok:$start{f',afterany{before}' if before else ''}"
    return (
        f'submit --dependency="{held}" {shlex.quote(array)}; array{own}=$id',
        f'submit --dependency="afterok:$start,afterany:$array{own}" {shlex.quote(gate)}; gate{own}=$id',
    )


_SUBMIT = """\
#!/bin/sh
# Submits this run, each job held by those that it needs. The start is held until all of them are queued.
cd {folder} || exit 1
# what an enclosing job or your own settings would change
for name in $(env | sed -n -e 's/^\\(SLURM_[A-Z0-9_]*\\)=.*/\\1/p' -e 's/^\\(SBATCH_[A-Z0-9_]*\\)=.*/\\1/p'); do
    [ "$name" = SLURM_CONF ] || unset "$name"
done
start=
submit() {{
    id=$(sbatch --parsable "$@" | sed -n 's/^\\([0-9][0-9]*\\)\\(;.*\\)\\{{0,1\\}}$/\\1/p' | tail -n 1)
    if [ -z "$id" ]; then
        echo "sbatch takes no more jobs; those that are queued begin, and their gates submit the others" >&2
        [ -z "$start" ] || scontrol release "$start"
        exit 1
    fi
    echo "$id $*"
}}

submit --hold {start}; start=$id
{lines}
scontrol release "$start"
"""
