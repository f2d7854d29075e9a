"""How many jobs a user may have queued, how many are, and waiting for room for more."""

from __future__ import annotations

import re
import time
from functools import cached_property

import attrs

from hpcurate.errors import LauncherError, SubmissionUnknown
from hpcurate.units import plural
from launchers.slurm.clients import ask, own_user

GATES_NEED = 3
"""Jobs that a user must be able to queue where gates work: a gate, the array that it submits, the gate after that."""
ASK_AGAIN_S = 5.0
LIMIT_WORDS = re.compile(r"MaxSubmit|GrpSubmit|submit limit|Resource temporarily unavailable", re.IGNORECASE)
"""How sbatch reports that too many jobs are queued already."""


def is_limit(error: LauncherError) -> bool:
    """Whether sbatch refused because too many jobs are queued: then waiting helps. Pure."""
    return not isinstance(error, SubmissionUnknown) and LIMIT_WORDS.search(str(error)) is not None


@attrs.define
class SubmitLimit:
    """The limit of an account and a quality of service; asked for at most once."""

    account: str | None = None
    qos: str | None = None

    @cached_property
    def jobs(self) -> int | None:
        """How many the user may have queued; None: no limit is visible."""
        return submit_limit(self.account, self.qos)

    def too_low_for_gates(self) -> str | None:
        """Why no run could move on by gates, with the fix."""
        if self.jobs is None or self.jobs >= GATES_NEED:
            return None
        return (
            f"the site lets you queue {plural(self.jobs, 'job')}; a gate, the array that it submits and the gate after "
            f"that are {GATES_NEED}: type site.nodes_may_submit=false, and the call itself stays and submits"
        )

    def room_for(self, workers: int, *, gates: int, patience_s: float) -> int:
        """As many of the workers as may be queued now, so many gates beside them. Waits for room for one.

        Raises LauncherError.
        """
        deadline = time.monotonic() + patience_s
        while self.jobs is not None:
            queued = own_jobs()
            room = workers if queued is None else self.jobs - queued - gates
            if room > 0:
                return min(workers, room)
            if time.monotonic() >= deadline:
                raise LauncherError(
                    f"the site lets you queue {plural(self.jobs, 'job')}, and {queued} of yours are queued; "
                    "wait until some have ended, then type the same again"
                )
            time.sleep(ASK_AGAIN_S)
        return workers


def submit_limit(account: str | None, qos: str | None) -> int | None:
    """Jobs, array elements and gates counted each, that this user may have queued; None: no limit is visible."""
    from concurrent.futures import ThreadPoolExecutor  # here: a gate that submits nothing asks for no limit

    questions = (
        ("user", own_user(), "withassoc", "format=DefaultAccount,Account,MaxSubmit,DefaultQOS,QOS"),
        ("qos", "format=Name,MaxSubmitPU"),
    )
    with ThreadPoolExecutor(len(questions)) as pool:  # the accounting's database takes its time for each
        rows, quality = pool.map(lambda words: ask(["sacctmgr", "-n", "-P", "show", *words]) or "", questions)
    return read_submit_limit(rows, quality, account, qos)


def read_submit_limit(associations: str, qualities: str, account: str | None, qos: str | None) -> int | None:
    """From sacctmgr's associations of the user, and qualities of service. Pure.

    A job that names no account gets the user's default one; one that names no quality of service the association's
    default, or the only one that it allows.
    """
    found: list[int] = []
    names = {qos} if qos else set()
    for line in associations.splitlines():
        users, own, most, default, allowed = [*line.split("|"), "", "", "", ""][:5]
        if (account or users) in ("", own):
            found += [int(most)] if most.isdigit() else []
            if not qos and (default or "," not in allowed):
                names.add(default or allowed)
    for line in qualities.splitlines():
        name, _, most = line.partition("|")
        if name in names and most.strip("|").isdigit():
            found.append(int(most.strip("|")))
    return min(found, default=None)


def accounts() -> list[str]:
    """Accounts that this user may charge; empty if accounting does not answer."""
    answer = ask(["sacctmgr", "-n", "-P", "show", "assoc", f"user={own_user()}", "format=Account"])
    return sorted(set((answer or "").split()))


def own_jobs() -> int | None:
    """Jobs and elements of this user that are queued or run; None if the queue does not answer."""
    answer = ask(["squeue", "-h", "-r", "-u", own_user(), "-o", "%i"])
    return None if answer is None else len(answer.split())
