"""`launcher=slurm`: job arrays through submitit, and gates that move the run on.

submitit writes the script and submits it; its pickles, checkpoints and signal handlers are not used. Its
private names `_submit_command` and `_make_sbatch_string` are why its version is pinned, and why a golden
file holds the script.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from hpcurate.errors import GateRefused, LauncherError
from hpcurate.fields import option
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.plan import Plan
from hpcurate.runs.launcher import JobRow, Submission
from hpcurate.site import SiteProfile, profile_of
from hpcurate.units import megabytes, minutes
from launchers.slurm.clients import ask, call, clean_environment, error_lines
from launchers.slurm.facts import accounts, own_jobs, probe, submit_limit
from launchers.slurm.preflight import SiteFacts, asked_of, problems, store_problem
from launchers.slurm.queue import QUEUE_FORMAT, parse_queue

ARRAY_LOG = "array-%A_%a.out"
GATE_MINUTES = 30
"""Wall time of a gate, or the partition's limit if that is less."""
CHECK_MINUTES = 10
"""Wall time of a job that checks an environment."""
PATIENCE_S = 60.0
"""How long a call waits for room under the site's submit limit."""
ASK_AGAIN_S = 5.0
INSTEAD = {
    "mem": ("mem-per-cpu", "mem-per-gpu"),
    "gres": ("gpus", "gpus-per-node", "gpus-per-task"),
    "gpus-per-node": ("gres", "gpus", "gpus-per-task"),
}
"""Options that sbatch takes only one of: where a user says another one, ours is left out."""
LIMIT_WORDS = re.compile(r"MaxSubmit|GrpSubmit|submit limit|Resource temporarily unavailable", re.IGNORECASE)
"""How sbatch says that too many jobs are queued already."""
REFUSAL = re.compile(r"Invalid|unrecognized|ambiguous|not permitted|denied|requires an argument", re.IGNORECASE)
"""How `sbatch --test-only` says what waiting does not mend; it also complains where nodes are merely down."""
GATES_NEED = 3
"""Jobs that a user must be able to queue where gates work: a gate, the array that it submits, the gate after that."""


@attrs.define
class SlurmLauncher:
    """One array a stage and round, and a gate behind it."""

    partition: str | None = option(None, "partition of every stage; default: the profile's, then the site's")
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
    site: dict[str, Any] = attrs.field(factory=dict, metadata={"help": "the site profile; set by the key `site`"})
    patience_s: float = option(PATIENCE_S, "seconds to wait for room under the site's submit limit")
    _limits: list[int | None] = attrs.field(factory=list, init=False, eq=False)
    kind = "slurm"

    @property
    def profile(self) -> SiteProfile:
        """The site's, as it was when the run was started."""
        return profile_of(self.site, "site")

    @property
    def gates(self) -> bool:
        """Whether gates move the run on; not where jobs may not submit."""
        return self.profile.nodes_may_submit is not False

    @property
    def stays(self) -> bool:
        """Whether the call stays unless told otherwise."""
        return not self.gates

    @property
    def node_local(self) -> tuple[str, ...]:
        """Folders on the nodes' own disks."""
        return tuple(self.profile.node_local)

    @property
    def node_quota(self) -> int | None:
        """Bytes that may be used there."""
        return megabytes(self.profile.node_quota) * 2**20 if self.profile.node_quota else None

    @property
    def other_python(self) -> bool:
        """Whether `launcher.python` names another."""
        return self.python is not None

    # -- before anything is written -----------------------------------------------------------------

    def check(self, pipeline: Pipeline, store: str) -> None:
        """See `Launcher`. Refuses what the site would refuse, or would never start."""
        facts = probe()
        asked = {s.name: asked_of(s, self.stage_options(s, plan_needs(s))) for s in pipeline.stages}
        found = problems(asked, facts)
        gate = str(self.gate_options(facts, last=False).get("partition") or "")
        if not found and gate and any(name not in facts.names for name in gate.split(",")):
            there = ", ".join(facts.names)
            found.append(f"launcher.gate.partition={gate}: there is no such partition; there are: {there}")
        found += [] if found else self._refusals(pipeline, facts)
        wrong = store_problem(store, self._folders(), self.profile.nodes_see_store, self.profile.store)
        found += [wrong] if wrong else []
        if found:
            more = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
            raise LauncherError(found[0] + more)

    def _refusals(self, pipeline: Pipeline, facts: SiteFacts) -> list[str]:
        """What sbatch itself says to each kind of job, asked with `--test-only`; and a limit too low for gates."""
        jobs = {f"stages.{s.name}": self.stage_options(s, plan_needs(s)) for s in pipeline.stages}
        jobs |= {"launcher.gate": self.gate_options(facts, last=False)} if self.gates else {}
        told: dict[str, str] = {}
        for where, options in jobs.items():
            words = " ".join(flags(options))
            if words not in told:
                done = call(["sbatch", "--test-only", *flags(options), "--wrap=true"])
                wrong = error_lines(done.stderr) if done.returncode and REFUSAL.search(done.stderr) else ""
                told[words] = f"{where}: sbatch refuses its options: {wrong}{_own_accounts(wrong)}" if wrong else ""
        limit = self._limit() if self.gates else None
        if limit is not None and limit < GATES_NEED:
            told["limit"] = (
                f"the site lets you queue {limit} jobs; a gate, the array that it submits and the gate after that are "
                f"{GATES_NEED}: type site.nodes_may_submit=false, and the call itself stays and submits"
            )
        return [line for line in told.values() if line]

    def _folders(self) -> list[str]:
        return [os.path.expandvars(folder) for folder in self.profile.node_local]

    def most_workers(self, stage: PlannedStage) -> int:
        """See `Launcher`."""
        return stage.workers or self.max_workers

    # -- submitting ---------------------------------------------------------------------------------

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """See `Launcher`. As many arrays as the site's index limit asks for, all of one name.

        Fewer elements than the plan's workers where the site's submit limit leaves no room for more: they pull
        the same shards. Raises LauncherError where there is no room for one after a while.
        """
        most = probe().max_array
        jobs: list[str] = []
        for offset, elements in parts(self._room_for(submission.plan.workers), most):
            job = self._array(submission, offset, elements, needed=not jobs)
            if job is None:
                break
            jobs.append(job)
        return tuple(jobs)

    def _limit(self) -> int | None:
        """How many jobs the user may have queued, asked once a call."""
        if not self._limits:
            self._limits.append(submit_limit(self.account or self.profile.account, self.qos or self.profile.qos))
        return self._limits[0]

    def _room_for(self, workers: int) -> int:
        """As many of the workers as may be queued now, a gate beside them. Waits for one."""
        limit = self._limit()
        deadline = time.monotonic() + self.patience_s
        while limit is not None:
            queued = own_jobs()
            room = workers if queued is None else limit - queued - self.gates
            if room > 0:
                return min(workers, room)
            if time.monotonic() >= deadline:
                raise LauncherError(
                    f"the site lets you queue {limit} jobs, and {queued} of yours are queued; "
                    "wait until some have ended, then type the same again"
                )
            time.sleep(ASK_AGAIN_S)
        return workers

    def _array(self, submission: Submission, offset: int, elements: int, *, needed: bool) -> str | None:
        """One array; where a limit that nobody can see refuses it, a smaller one. None if not even one element."""
        deadline = time.monotonic() + self.patience_s
        options = self.stage_options(submission.stage, submission.plan)
        command = worker_command(self._python(), submission.plan, submission.path, offset)
        while True:
            try:
                return self._sbatch(submission.path, submission.name, options, command, elements, ARRAY_LOG)
            except LauncherError as error:
                if not LIMIT_WORDS.search(str(error)):
                    raise
                if elements == 1 and not needed:
                    return None
                if elements == 1 and time.monotonic() >= deadline:
                    raise
                if elements == 1:
                    time.sleep(ASK_AGAIN_S)
                elements = max(1, elements // 2)

    def script(self, submission: Submission) -> str:
        """Exact text of the sbatch script of a round that fits into one array. Writes and submits nothing."""
        from submitit.slurm.slurm import _make_sbatch_string

        options = self.stage_options(submission.stage, submission.plan)
        command = worker_command(self._python(), submission.plan, submission.path, 0)
        workers, setup = submission.plan.workers, self._setup()
        parameters = sbatch_parameters(
            submission.path, submission.name, options, setup, workers, self.max_parallel, ARRAY_LOG
        )
        return str(_make_sbatch_string(command=command, folder=submission.path, **parameters))

    def submit_gate(
        self, run_path: str, code: str, stage: str, number: int, jobs: Sequence[str], *, last: bool
    ) -> str | None:
        """See `Launcher`. `afterany` on all ids: fulfilled however they ended, never `DependencyNeverSatisfied`."""
        if not self.gates:
            return None
        folder = os.path.join(run_path, "gates")
        options = {**self.gate_options(probe(), last=last), "dependency": f"afterany:{':'.join(jobs)}"}
        patience = str(minutes(str(options["time"])) * 30)  # seconds: half of its time
        command = [self._python(), "-P", "-m", "hpcurate.runs.driver", run_path, "--gate", stage, str(number), patience]
        name = f"gate-{stage}-{number}-{os.path.basename(run_path)[-6:]}"
        while True:
            try:
                return self._sbatch(folder, name, options, _with_code(command, code), None, "gate-%j.out")
            except LauncherError as error:
                if not LIMIT_WORDS.search(str(error)):
                    raise
                if not _give_one_up(jobs):  # what it would have done, the others pull
                    raise GateRefused(str(error)) from None

    def submit_check(self, stage: PlannedStage, plan: Plan, folder: str, name: str) -> str:
        """A short job with the stage's own options that checks its environment (`hpcurate.worker.check`); its id."""
        options = {**self.stage_options(stage, plan), "time": CHECK_MINUTES}
        command = [self._python(), "-P", "-m", "hpcurate.worker.check", folder, name]
        where = os.path.join(folder, name)
        return self._sbatch(where, f"check-{name}", options, _with_code(command, plan.code), None, "check-%j.out")

    # -- options ------------------------------------------------------------------------------------

    def stage_options(self, stage: PlannedStage, plan: Plan) -> dict[str, Any]:
        """All sbatch options of a stage's array. Pure."""
        needs = stage.resources
        asked: dict[str, Any] = {
            "cpus-per-task": plan.cpus,
            "mem": f"{plan.memory_mb}M",
            "time": minutes(needs.time),
            "signal": f"B:USR2@{drain_seconds(plan)}",
            "nodes": needs.nodes,
        }
        if plan.gpus:
            key, _, value = self.profile.gres.format(n=plan.gpus).partition("=")
            asked[key] = value
        if needs.disk is not None:
            asked["tmp"] = f"{megabytes(needs.disk)}M"
        common, own = self._common("gpu" if plan.gpus else "cpu"), dashed(stage.sbatch)
        for key, others in INSTEAD.items():
            if any(other in own or other in common for other in others):
                asked.pop(key, None)
        return {**common, **asked, **own}

    def gate_options(self, facts: SiteFacts, *, last: bool) -> dict[str, Any]:
        """All sbatch options of a gate; its time fits the partition. Pure."""
        options = {**self._common("gate"), **dashed(self.gate)}
        names = str(options.get("partition") or facts.default or "").split(",")
        limits = [p.max_minutes for p in map(facts.named, names) if p and p.max_minutes]
        asked: dict[str, Any] = {"cpus-per-task": 1, "mem": "1000M", "time": min([GATE_MINUTES, *limits])}
        if self.profile.mail:
            asked |= {"mail-user": self.profile.mail, "mail-type": "END,FAIL" if last else "FAIL"}
        return {**options, **asked, **dashed(self.gate)}

    def _common(self, kind: str) -> dict[str, Any]:
        """Of every job: the launcher's own fields before the site profile's. The stage's own come last. Pure."""
        profile = self.profile
        partition = profile.partitions.get(kind) or profile.partitions.get("cpu" if kind == "gate" else "")
        from_site = {
            "partition": partition,
            "account": profile.account,
            "qos": profile.qos,
            "constraint": profile.constraint,
        }
        own = {"partition": self.partition, "account": self.account, "qos": self.qos, **dashed(self.sbatch)}
        return {k: v for k, v in from_site.items() if v is not None} | {k: v for k, v in own.items() if v is not None}

    def _setup(self) -> list[str]:
        return [*self.profile.setup, *self.setup]

    def _python(self) -> str:
        return self.python or sys.executable

    def _sbatch(
        self, folder: str, name: str, options: dict[str, Any], command: str, elements: int | None, output: str
    ) -> str:
        """One sbatch through submitit. Raises LauncherError with Slurm's own words."""
        executor = _executor(folder, name, options, self._setup(), elements, self.max_parallel, output)
        try:
            with clean_environment():
                return str(executor._submit_command(command).job_id)
        except Exception as error:  # submitit's FailedJobError carries sbatch's stderr
            raise LauncherError(f"sbatch refused {name}: {error_lines(str(error))}") from None

    # -- asking -------------------------------------------------------------------------------------

    def alive(self, jobs: Sequence[str]) -> bool | None:
        """See `Launcher`. One squeue for all ids; what it does not list is over."""
        answer = ask(["squeue", "-h", "-a", "-j", ",".join(jobs), "-o", "%i %T"])
        return None if answer is None else bool(answer.strip())

    def jobs(self, jobs: Sequence[str]) -> list[JobRow] | None:
        """See `Launcher`. One squeue for all ids."""
        known = [job for job in jobs if job.isdigit()]
        if not known:
            return []
        answer = ask(["squeue", "-h", "-a", "-j", ",".join(known), "-o", QUEUE_FORMAT])
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
        time.sleep(seconds)


def flags(options: Mapping[str, Any]) -> list[str]:
    """sbatch's options as words of a command. Pure."""
    kept = {key: value for key, value in options.items() if value is not None and value is not False}
    return [f"--{key}" if value is True else f"--{key}={value}" for key, value in kept.items()]


def _own_accounts(words: str) -> str:
    mine = accounts() if "account" in words else []
    return f"; you may charge {', '.join(mine)}: set launcher.account" if mine else ""


def _give_one_up(jobs: Sequence[str]) -> bool:
    """Cancel the last element of an array that has not begun, to make room for the gate; not the only one."""
    answer = ask(["squeue", "-h", "-r", "-j", ",".join(jobs), "-o", "%i %T"]) or ""
    rows = [line.split() for line in answer.splitlines()]
    waiting = [id for id, state in rows if state == "PENDING"]
    if len(rows) < 2 or not waiting:
        return False
    ask(["scancel", waiting[-1]])
    return True


def dashed(options: Mapping[str, Any]) -> dict[str, Any]:
    """`cpus_per_task` → `cpus-per-task`: sbatch's own spelling. Pure."""
    return {key.replace("_", "-"): value for key, value in options.items()}


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
