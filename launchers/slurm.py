"""`launcher=slurm`: job arrays through submitit, and gates that move the run on.

submitit writes the script and submits it; its pickles, checkpoints and signal handlers are not used. Its
private names `_submit_command` and `_make_sbatch_string` are why its version is pinned, and why a golden
file holds the script.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from hpcurate.errors import LauncherError
from hpcurate.launcher import JobRow, Submission
from hpcurate.pipeline import Pipeline, PlannedStage, option, suggestion
from hpcurate.plan import Plan
from hpcurate.units import megabytes, minutes
from launchers.queue import QUEUE_FORMAT, parse_queue

ANSWER_S = 20.0
"""How long a Slurm client may take to answer."""
INHERITED = re.compile(r"(SLURM|SBATCH|SRUN|SUBMITIT)_\w+|HPCURATE_(WORKER|PARENT)")
"""Environment of an enclosing job, which a nested sbatch would take for its own options."""
KEPT = {"SLURM_CONF"}
ARRAY_LOG = "array-%A_%a.out"


def client_environment() -> dict[str, str]:
    """Environment for Slurm's clients, without what an enclosing job left there."""
    return {k: v for k, v in os.environ.items() if k in KEPT or not INHERITED.fullmatch(k)}


def ask(command: Sequence[str]) -> str | None:
    """Output of a Slurm client, or None if it failed or did not answer."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_S, env=client_environment(), check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode and "Invalid job id" in done.stderr:
        return ""  # the controller answers, and knows no such job
    return None if done.returncode else done.stdout


@attrs.define(frozen=True)
class Site:
    """What the controller says about itself."""

    max_array: int
    """Most elements of one array: `MaxArraySize` caps the index."""
    partitions: tuple[str, ...]
    default: str | None

    @classmethod
    def probe(cls) -> Site:
        """Ask once. Raises LauncherError if there is no Slurm, or no answer."""
        if shutil.which("sbatch") is None:
            raise LauncherError(
                "launcher=slurm: there is no sbatch in PATH; load the site's module, or use launcher=local"
            )
        config = ask(["scontrol", "show", "config"])
        partitions = ask(["sinfo", "-h", "-o", "%P"])
        if config is None or partitions is None:
            raise LauncherError(
                "launcher=slurm: the controller does not answer; try `scontrol ping`, then the same again"
            )
        size = re.search(r"MaxArraySize\s*=\s*(\d+)", config)
        names = partitions.split()
        default = next((n.rstrip("*") for n in names if n.endswith("*")), None)
        return cls(int(size[1]) if size else 1001, tuple(n.rstrip("*") for n in names), default)


@attrs.define
class SlurmLauncher:
    """One array a stage and round, and a gate behind it."""

    partition: str | None = option(None, "partition of every stage; default: the site's")
    account: str | None = option(None, "account to charge")
    qos: str | None = option(None, "quality of service")
    sbatch: dict[str, Any] = attrs.field(
        factory=dict, metadata={"help": "any further sbatch option, for every stage, e.g. {constraint: a100}"}
    )
    gate: dict[str, Any] = attrs.field(
        factory=dict, metadata={"help": "sbatch options of gates that differ from the stages', e.g. {partition: short}"}
    )
    max_workers: int = option(32, "workers of one stage at most, where the stage does not say")
    max_parallel: int | None = option(None, "workers of one array that may run at once (the array's %); default: all")
    setup: list[str] = attrs.field(
        factory=list, metadata={"help": "shell lines before the worker starts, e.g. [module load cuda]"}
    )
    python: str | None = option(None, "Python of workers and gates; default: the one that submits")
    kind = "slurm"
    stays = False

    # -- before anything is written -----------------------------------------------------------------

    def check(self, pipeline: Pipeline) -> None:
        """See `Launcher`."""
        site = Site.probe()
        asked = {f"stages.{s.name}.sbatch.partition": s.sbatch.get("partition") for s in pipeline.stages}
        asked["launcher.partition"] = self.partition
        asked["launcher.sbatch.partition"] = self.sbatch.get("partition")
        asked["launcher.gate.partition"] = self.gate.get("partition")
        for key, names in asked.items():
            for name in str(names).split(",") if names else []:
                if name not in site.partitions:
                    raise LauncherError(f"{key}={name}: no such partition; {suggestion(name, site.partitions)}")
        if not site.default and not self.partition:
            for stage in pipeline.stages:
                if not (stage.sbatch.get("partition") or self.sbatch.get("partition")):
                    raise LauncherError(
                        f"launcher.partition: the site has no default; {suggestion('', site.partitions)}"
                    )

    def most_workers(self, stage: PlannedStage) -> int:
        """See `Launcher`."""
        return stage.workers or self.max_workers

    # -- submitting ---------------------------------------------------------------------------------

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """See `Launcher`. As many arrays as the site's index limit asks for, all of one name."""
        most = Site.probe().max_array
        jobs = []
        for offset, elements in parts(submission.plan.workers, most):
            options = self.stage_options(submission.stage, submission.plan)
            command = worker_command(self._python(), submission.plan, submission.path, offset)
            jobs.append(self._sbatch(submission.path, submission.name, options, command, elements, ARRAY_LOG))
        return tuple(jobs)

    def script(self, submission: Submission) -> str:
        """Exact text of the sbatch script of a round that fits into one array. Writes and submits nothing."""
        from submitit.slurm.slurm import _make_sbatch_string

        options = self.stage_options(submission.stage, submission.plan)
        command = worker_command(self._python(), submission.plan, submission.path, 0)
        parameters = sbatch_parameters(
            submission.path, submission.name, options, self.setup, submission.plan.workers, self.max_parallel, ARRAY_LOG
        )
        return str(_make_sbatch_string(command=command, folder=submission.path, **parameters))

    def submit_gate(self, run_path: str, code: str, stage: str, number: int, jobs: Sequence[str]) -> str | None:
        """See `Launcher`. `afterany` on all ids: fulfilled however they ended, never `DependencyNeverSatisfied`."""
        folder = os.path.join(run_path, "gates")
        options = self._common({**self.sbatch, **self.gate})
        options.update({"cpus-per-task": 1, "mem": "1000M", "time": 30, "dependency": f"afterany:{':'.join(jobs)}"})
        options.update({k.replace("_", "-"): v for k, v in self.gate.items()})
        command = [self._python(), "-P", "-m", "hpcurate.driver", run_path, "--gate", stage, str(number)]
        name = f"gate-{stage}-{number}-{os.path.basename(run_path)[-6:]}"
        return self._sbatch(folder, name, options, _with_code(command, code), None, "gate-%j.out")

    def stage_options(self, stage: PlannedStage, plan: Plan) -> dict[str, Any]:
        """All sbatch options of a stage's array: site, launcher, resources, then the stage's own. Pure."""
        needs = stage.resources
        options = self._common(self.sbatch)
        options.update({"cpus-per-task": plan.cpus, "mem": f"{plan.memory_mb}M", "time": minutes(needs.time)})
        options["signal"] = f"B:USR2@{drain_seconds(plan)}"
        if plan.gpus:
            options["gres"] = f"gpu:{plan.gpus}"
        if needs.disk is not None:
            options["tmp"] = f"{megabytes(needs.disk)}M"
        options["nodes"] = needs.nodes
        options.update({k.replace("_", "-"): v for k, v in stage.sbatch.items()})
        return options

    def _common(self, more: dict[str, Any]) -> dict[str, Any]:
        own = {"partition": self.partition, "account": self.account, "qos": self.qos}
        options = {k: v for k, v in own.items() if v is not None}
        options.update({k.replace("_", "-"): v for k, v in more.items()})
        return options

    def _python(self) -> str:
        return self.python or sys.executable

    def _sbatch(
        self, folder: str, name: str, options: dict[str, Any], command: str, elements: int | None, output: str
    ) -> str:
        """One sbatch through submitit. Raises LauncherError with Slurm's own words."""
        executor = _executor(folder, name, options, self.setup, elements, self.max_parallel, output)
        try:
            with _clean_environment():
                return str(executor._submit_command(command).job_id)
        except Exception as error:  # submitit's FailedJobError carries sbatch's stderr
            raise LauncherError(f"sbatch refused {name}: {_slurms_words(str(error))}") from None

    # -- asking -------------------------------------------------------------------------------------

    def alive(self, jobs: Sequence[str]) -> bool | None:
        """See `Launcher`. One squeue for all ids; what it does not list is over."""
        answer = ask(["squeue", "-h", "-a", "-j", ",".join(jobs), "-o", "%i %T"])
        return None if answer is None else bool(answer.strip())

    def jobs(self, jobs: Sequence[str]) -> list[JobRow] | None:
        """See `Launcher`. One squeue for all ids."""
        if not jobs:
            return []
        answer = ask(["squeue", "-h", "-a", "-j", ",".join(jobs), "-o", QUEUE_FORMAT])
        return None if answer is None else parse_queue(answer)

    def find(self, name: str) -> tuple[str, ...] | None:
        """See `Launcher`. Queued ones, or what accounting remembers where there is any."""
        answer = ask(["squeue", "-h", "-a", f"--name={name}", "-o", "%A"])
        if answer is None:
            return None
        past = ask(["sacct", "-n", "-X", "-P", f"--name={name}", "-S", "now-7days", "-o", "JobID"]) or ""
        found = answer.split() + [line.split("_")[0] for line in past.split()]
        return tuple(dict.fromkeys(found))

    def cancel(self, jobs: Sequence[str]) -> None:
        """See `Launcher`."""
        if jobs:
            ask(["scancel", *jobs])

    def wait(self, seconds: float) -> None:
        """See `Launcher`."""
        import time

        time.sleep(seconds)


def drain_seconds(plan: Plan) -> int:
    """How long before the end Slurm is to signal: never so early that a short job has no time to work. Pure."""
    return int(min(plan.timing.drain_s, minutes(plan.resources.time) * 60 / 4))


def parts(workers: int, most: int) -> list[tuple[int, int]]:
    """(offset, elements) of each array when one holds at most `most` elements. Pure."""
    return [(start, min(most, workers - start)) for start in range(0, workers, most)]


def worker_command(python: str, plan: Plan, submission: str, offset: int) -> str:
    """The one shell line of an array element: everything quoted, nothing interpreted. Pure."""
    command = [python, "-P", "-m", "hpcurate.worker", submission]
    if offset:
        command += ["--offset", str(offset)]
    return _with_code(command, plan.code)


def _with_code(command: Sequence[str], code: str | None) -> str:
    line = f"exec {shlex.join(command)}"
    return f'export PYTHONPATH={shlex.quote(code)}${{PYTHONPATH:+":$PYTHONPATH"}}\n{line}' if code else line


def _executor(
    folder: str,
    name: str,
    options: dict[str, Any],
    setup: Sequence[str],
    elements: int | None,
    parallel: int | None,
    output: str,
) -> Any:
    """submitit's executor, told to write our command and nothing of its own."""
    from submitit.slurm.slurm import SlurmExecutor

    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    executor = SlurmExecutor(folder=Path(folder))
    executor.parameters = sbatch_parameters(folder, name, options, setup, elements, parallel, output)
    return executor


def sbatch_parameters(
    folder: str,
    name: str,
    options: dict[str, Any],
    setup: Sequence[str],
    elements: int | None,
    parallel: int | None,
    output: str,
) -> dict[str, Any]:
    """What submitit's script maker is given. Pure.

    Our options go through `additional_parameters`, which come last and take any sbatch option; `wckey` is
    left out where nobody asks for it, because some sites refuse an unknown one.
    """
    written = {k: v for k, v in options.items() if v is not None and v is not False}
    written |= {"output": os.path.join(folder, output)}
    parameters: dict[str, Any] = {"job_name": name, "use_srun": False, "stderr_to_stdout": True}
    parameters["additional_parameters"] = written
    parameters["setup"] = list(setup) or None
    if "wckey" not in written:
        parameters["wckey"] = None
    if elements is not None:
        parameters |= {"map_count": elements, "array_parallelism": parallel or elements}
    return parameters


class _clean_environment:
    """submitit runs sbatch with our environment: take the enclosing job's variables out meanwhile."""

    def __enter__(self) -> None:
        self._kept = {k: v for k, v in os.environ.items() if INHERITED.fullmatch(k) and k not in KEPT}
        for name in self._kept:
            del os.environ[name]

    def __exit__(self, *_: object) -> None:
        os.environ.update(self._kept)


def _slurms_words(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if "error:" in line.lower()]
    return "; ".join(lines[-3:]) or message[-500:]
