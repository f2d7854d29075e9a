"""What the engine asks of a launcher, as Protocols, and the values that pass between.

A `Launcher` turns plans into running workers. Its `queue` answers for jobs that a scheduler has; `gates` is there where
jobs of their own move a run on, `children` where the workers live and die with the process that started them,
`checks` where an environment can be checked in a job, `compiler` where jobs can be written down for a user to submit,
`services` where a server can be a job, and `diagnosis` where there is a cluster to look at. Nobody asks a launcher
which one it is.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from hpcurate.errors import ConfigError
from hpcurate.failures import JobEnd
from hpcurate.fields import convert, names_of
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.plan import Plan
from hpcurate.runs.compiled import Compiled
from hpcurate.site import SiteProfile
from hpcurate.store.rounds import Jobs
from hpcurate.system.classes import load_class
from hpcurate.verdict import Allowance


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One round, ready to start: plan, code and logs lie in its folder."""

    plan: Plan
    path: str
    """Folder of the submission; `plan.json` lies there."""
    name: str
    """Unique job name."""


class Started(msgspec.Struct, frozen=True):
    """What a launcher made of a submission."""

    jobs: Jobs
    over: bool = False
    """True if the last worker had left before `submit` returned."""


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the queue."""

    id: str
    name: str
    state: str
    """As the scheduler spells it: PENDING, RUNNING, …"""
    reason: str = ""
    """Why it waits."""
    start: str = ""
    """When it is expected to start, local time; empty if the scheduler gives none."""
    count: int = 1
    """Elements that the line stands for."""


class GateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A gate that is to follow the jobs of a round."""

    name: str
    """Of its job: all gates of this round of this run have it, and no others."""
    run_path: str
    code: str
    """Frozen copy of the code that it runs."""
    stage: str
    round: int
    jobs: tuple[str, ...]
    last: bool
    """Whether no stage comes after this one: who is notified of the end depends on it."""


class Presence(enum.Enum):
    """What a scheduler answers about jobs."""

    ALIVE = "alive"
    """At least one of them is queued, runs, or may yet run again."""
    ENDED = "ended"
    """It lists every one of them, and none will run again."""
    ABSENT = "absent"
    """It answers, none is alive, and some are not listed: forgotten, or of another cluster, or the answer is wrong."""
    UNKNOWN = "unknown"
    """It does not answer."""

    @property
    def over(self) -> bool:
        """Whether nothing is seen of them: evidence if ENDED, a single negative answer if ABSENT."""
        return self in (Presence.ENDED, Presence.ABSENT)


class Queue(Protocol):
    """The scheduler as a hint (I8): slow, absent or wrong. None always means: it cannot be known."""

    name: str
    """What a ticket calls it; empty where there is no scheduler."""

    def cluster(self) -> str | None:
        """Name of the cluster that answers: what another one answers is no evidence about its jobs.

        None: it does not answer, and nothing is submitted before it does. Empty: it has no name, and there is no other.
        """

    def presence(self, jobs: tuple[str, ...]) -> Presence:
        """Whether any of the jobs is queued or runs. One question for all ids."""

    def endings(self, jobs: tuple[str, ...]) -> Mapping[str, JobEnd]:
        """Element (`<array job>_<task>`, or `<job>`) → how it ended, where the scheduler knows more than that."""

    def find(self, name: str) -> tuple[str, ...] | None:
        """This user's jobs of exactly that name, queued or past; arrays by their own id."""

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """What there is of each job, asked once."""

    def cancel(self, jobs: Jobs) -> None:
        """Stop them."""


class NoQueue:
    """The `Queue` of a launcher without a scheduler: of the jobs that one may have, nothing is known."""

    name = ""

    def cluster(self) -> str | None:
        """See `Queue`."""
        return None

    def presence(self, jobs: tuple[str, ...]) -> Presence:
        """See `Queue`."""
        return Presence.UNKNOWN

    def endings(self, jobs: tuple[str, ...]) -> Mapping[str, JobEnd]:
        """See `Queue`."""
        return {}

    def find(self, name: str) -> tuple[str, ...] | None:
        """See `Queue`."""
        return None

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """See `Queue`."""
        return []

    def cancel(self, jobs: Jobs) -> None:
        """See `Queue`."""


class Gates(Protocol):
    """Jobs of their own that look at the store after an array, submit what is next, and exit."""

    @property
    def patience_s(self) -> float:
        """How long a driver waits for room for one, before it gives up."""

    def submit(self, gate: GateRequest) -> str:
        """Queue it; its job id. Raises GateRefused where a submit limit leaves no room for it."""


class Children(Protocol):
    """Workers that live and die with this process."""

    def working(self, submission: str) -> bool:
        """Whether a worker of the submission, by its folder, is left. One that was killed is replaced, once."""

    def stop(self) -> None:
        """Have all of them hand their shards back, and wait for them."""


class Compiler(Protocol):
    """Writing a run down as jobs that its user submits, and seeing those that wait."""

    def scripts(self, folder: str, pipeline: Pipeline, compiled: Compiled) -> dict[str, str]:
        """Each job's script, and one that submits all of them, by their names in the folder. Raises LauncherError."""

    def waiting(self, names: Sequence[str], after: str = "") -> list[JobRow] | None:
        """This user's jobs of exactly these names of which no element has begun, the oldest first; with `after` those
        alone that still wait for that job. None: the queue does not answer.
        """

    def shorten(self, job: JobRow, elements: int) -> None:
        """Have an array that has not begun only so many of its elements."""

    def hold(self, job: JobRow, gate: str) -> None:
        """Have a job that waits wait for a gate, too."""


class EnvironmentChecks(Protocol):
    """Trying a stage's environment in a job."""

    def submit(self, plan: Plan, folder: str, name: str) -> str:
        """A short job with the options of the plan's stage that runs `hpcurate.worker.check FOLDER NAME`; its id."""


SERVER_WARNING, SERVER_WARNING_S = signal.SIGUSR2, 60.0
"""What a scheduler is to send a server before the end of its job, and how long before; to a short job later."""


class ServerNeeds(msgspec.Struct, frozen=True, kw_only=True):
    """What the job of a server asks for: what all of its processes need together."""

    stage: str
    """Whose keys are named where it is refused."""
    cpus: int = 1
    gpus: int = 0
    memory_mb: int
    time: str
    """Wall time, as `resources.time`."""
    disk_mb: int = 0
    """On the node; 0: none."""
    sbatch: dict[str, Any] = msgspec.field(default_factory=dict)
    """Further options."""


class ServerJob(msgspec.Struct, frozen=True, kw_only=True):
    """A server that is to be a job."""

    name: str
    """Of the server and of its job: unique."""
    folder: str
    """The server's: its script and log lie there."""
    code: str | None
    """Frozen copy of the code that it runs; None: what is installed."""
    needs: ServerNeeds


class Services(Protocol):
    """Servers as jobs of their own; the launcher's `queue` answers for them as for all others."""

    def check(self, needs: ServerNeeds, store: str) -> None:
        """Refuse, before anything is written, what could never run. Raises LauncherError."""

    def start(self, job: ServerJob) -> str:
        """Queue it; its job id. Raises LauncherError if it was refused, SubmissionUnknown where that is open."""

    def address(self, node: str) -> str:
        """The name under which other machines of the cluster reach a node."""


class Finding(msgspec.Struct, frozen=True):
    """A fact about the cluster, and what it means for the user."""

    what: str
    value: str
    meaning: str


class DiagnosisReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster is like."""

    findings: tuple[Finding, ...]
    profile: SiteProfile
    """The site profile that fits."""
    trouble: str = ""
    """Why there is no answer from a node."""
    ok: bool
    """Whether runs could work."""


class Diagnosis(Protocol):
    """Looking at the cluster once."""

    def examine(self, store: str | None, *, known: SiteProfile, wait_s: float | None) -> DiagnosisReport:
        """Ask the scheduler, and a node with a small job that may wait `wait_s` in the queue; None: no job.

        What `known` holds is kept. Raises LauncherError where the scheduler does not answer.
        """


class Launcher(Protocol):
    """Turns plans into running workers."""

    name: str
    """As a user types it: inline, local, slurm. Shown and recorded, never compared."""
    in_process: bool
    """Whether stages run in this very process: then they need not be importable elsewhere."""

    @property
    def stays(self) -> bool:
        """Whether the call stays until the end unless it is asked otherwise."""

    @property
    def queue(self) -> Queue:
        """What answers for its jobs."""

    @property
    def gates(self) -> Gates | None:
        """What moves the run on without this process; None: the driver stays, or the user types the command again."""

    @property
    def children(self) -> Children | None:
        """Its workers, where they live and die with this process."""

    @property
    def checks(self) -> EnvironmentChecks | None:
        """How an environment is tried on a node; None where that is this machine."""

    @property
    def compiler(self) -> Compiler | None:
        """Writes a run down as jobs that its user submits; None where there are no jobs."""

    @property
    def services(self) -> Services | None:
        """Servers as jobs; None where a server runs in the very process that is typed."""

    @property
    def diagnosis(self) -> Diagnosis | None:
        """Looks at the cluster that it submits to; None where there is none."""

    @property
    def node_local(self) -> tuple[str, ...]:
        """Folders on the nodes' own disks, best first."""

    @property
    def node_quota(self) -> int | None:
        """Bytes that may be used there; None: what is free."""

    @property
    def gpu_probe(self) -> bool:
        """Whether workers look at their GPUs before they begin."""

    @property
    def same_path(self) -> bool:
        """Whether its jobs find the programs that are found here: nothing changes their PATH on the way."""

    @property
    def other_python(self) -> bool:
        """Whether workers run another Python than the one that submits."""

    def check(self, pipeline: Pipeline, store: str) -> None:
        """Refuse, before anything is written, what could never run. Raises LauncherError."""

    def most_workers(self, stage: PlannedStage) -> int:
        """Workers of this stage that may run at once here."""

    def most(self, stage: PlannedStage) -> Allowance:
        """The most memory and wall time that a worker of this stage may have here, in any round; 0: as usual, no end.

        Never less than in an ordinary one.
        """

    def nodes(self, stage: PlannedStage) -> int:
        """Nodes that workers of this stage may run on, of which some may be left out; 0: there is no choice."""

    def make_room(self, plan: Plan) -> None:
        """Wait until workers of the plan may be submitted; before the right to do so is taken. Raises LauncherError."""

    def submit(self, submission: Submission) -> Started:
        """Start the workers. Raises LauncherError if nothing was started, SubmissionUnknown where that is open."""

    def script(self, submission: Submission) -> str | None:
        """Exact text of what would be submitted, where that is a script. Writes and submits nothing."""

    def set_patience(self, patience_s: float, *, at_least: bool = False) -> None:
        """From now on wait so long, or at least so long, for room under a submit limit."""

    def wait(self, seconds: float) -> None:
        """Wait for a change, at most so long."""


LAUNCHERS = {
    "inline": "launchers.inline.InlineLauncher",
    "local": "launchers.local.LocalLauncher",
    "slurm": "launchers.slurm.SlurmLauncher",
}
"""Class of each launcher that has a name."""


_MEMBERS = sorted(name for name in {*Launcher.__annotations__, *vars(Launcher)} if not name.startswith("_"))


def make_launcher(config: dict[str, Any]) -> Launcher:
    """The launcher that `{"_target_": "module.Class", …}` describes; null is a field's default. Raises ConfigError."""
    target = str(config["_target_"])
    parameters = {key: value for key, value in config.items() if key != "_target_" and value is not None}
    cls = load_class(target, "launcher._target_")
    lacks = [name for name in _MEMBERS if not hasattr(cls, name) and name not in names_of(cls)]
    if lacks:
        raise ConfigError(f"launcher._target_={target}: lacks {', '.join(lacks)}; see hpcurate.runs.launcher.Launcher")
    launcher: Launcher = convert(cls, parameters, "launcher")
    return launcher
