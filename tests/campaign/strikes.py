"""How each fault is done. Each returns what it hit, or "" if there was nothing to hit for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from tests.campaign.faults import Blow, Fault
from tests.campaign.ground import Ground
from tests.campaign.lies import TOLD

PATIENCE_S = 12.0
"""So long something that may be hit is waited for."""
POLL_S = 0.05

T = TypeVar("T")


class Striker:
    """Does what is to happen to one run."""

    def __init__(self, ground: Ground, command: list[str], over: Callable[[], bool]) -> None:
        self.ground, self.command, self.over = ground, command, over
        self.helpers: list[str] = []
        """Tasks whose program was killed."""
        self._lies = 0

    def strike(self, blow: Blow) -> str:
        """Do it; what was hit, or ""."""
        if blow.fault in KILLS:
            return self._kill(blow, KILLS[blow.fault])
        return STRIKES[blow.fault](self, blow)

    def await_one(self, look: Callable[[], T], patience_s: float = PATIENCE_S) -> T | None:
        """What `look` finds as soon as it finds something."""
        deadline = time.monotonic() + patience_s
        while not (found := look()):
            if time.monotonic() > deadline or self.over():
                return None
            time.sleep(POLL_S)
        return found

    # -- processes ------------------------------------------------------------------------------------

    def _kill(self, blow: Blow, kind: str) -> str:
        those = self.await_one(lambda: self.ground.processes().get(kind))
        if not those:
            return ""
        process = blow.pick(sorted(those, key=lambda p: p.pid))
        if not process.kill():
            return ""
        last = process.words[-1]
        if kind == "helper":
            self.helpers.append(last.partition(" ")[2])
        return f"{kind} {process.pid} {last.removeprefix(str(self.ground.folder))}"

    def _call(self, blow: Blow) -> str:
        """Somebody types the command once more, and their machine dies."""
        call = subprocess.Popen(
            self.command, env=self.ground.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with suppress(subprocess.TimeoutExpired):
            call.wait(blow.seconds)
        call.kill()
        call.wait()
        return f"after {blow.seconds:.1f} s"

    # -- jobs -----------------------------------------------------------------------------------------

    def _jobs(self, state: str, *, elements: bool) -> list[str]:
        return [
            job["JobID"]
            for job in self.ground.jobs() or []
            if (not state or job["State"] == state) and ("_" in job["JobID"]) is elements
        ]

    def _slurm(self, *command: str) -> bool:
        with suppress(subprocess.SubprocessError):
            self.ground.slurm.run(*command)
            return True
        return False

    def _element(self, blow: Blow) -> str:
        running = self.await_one(lambda: self._jobs("RUNNING", elements=True))
        job = blow.pick(running) if running else ""
        return job if job and self._slurm("scancel", job) else ""

    def _array(self, blow: Blow) -> str:
        running = self.await_one(lambda: self._jobs("RUNNING", elements=True))
        job = blow.pick(running).partition("_")[0] if running else ""
        return job if job and self._slurm("scancel", job) else ""

    def _gate(self, blow: Blow) -> str:
        gates = self.await_one(lambda: self._jobs("", elements=False))
        job = blow.pick(gates) if gates else ""
        return job if job and self._slurm("scancel", job) else ""

    def _requeue(self, blow: Blow) -> str:
        running = self.await_one(lambda: self._jobs("RUNNING", elements=True))
        job = blow.pick(running) if running else ""
        return job if job and self._slurm("scontrol", "requeue", job) else ""

    def _preempt(self, blow: Blow) -> str:
        running = self.await_one(lambda: self._jobs("RUNNING", elements=True))
        options = ["--partition=high", "--nodes=4", "--exclusive", "--time=1", "--job-name=rival"]
        wrapped = ["--output=/dev/null", "--wrap", f"sleep {blow.seconds}"]
        return f"{len(running)} elements" if running and self._slurm("sbatch", *options, *wrapped) else ""

    # -- daemons --------------------------------------------------------------------------------------

    def _slurmd(self, blow: Blow) -> str:
        nodes = {p.variable("SLURMD_NODENAME") for p in self.ground.processes().get("supervisor", [])} - {""}
        return self._die(f"slurmd-{blow.pick(sorted(nodes) or ['cpu0'])}", blow.seconds)

    def _controller_dies(self, blow: Blow) -> str:
        return self._die("slurmctld", blow.seconds)

    def _die(self, name: str, seconds: float) -> str:
        with self.ground.controller:
            os.kill(self.ground.daemon(name), signal.SIGKILL)
            time.sleep(seconds)
            self.ground.start_daemon(name)
        return f"{name} for {seconds:.1f} s"

    def _controller_stops(self, blow: Blow) -> str:
        with self.ground.controller:
            daemon = self.ground.daemon("slurmctld")
            os.kill(daemon, signal.SIGSTOP)
            try:
                time.sleep(blow.seconds)
            finally:
                os.kill(daemon, signal.SIGCONT)
        return f"for {blow.seconds:.1f} s"

    # -- the rest -------------------------------------------------------------------------------------

    def _greed(self, blow: Blow) -> str:
        path = self.ground.greed / f"{time.monotonic_ns()}"
        path.touch()
        taken = self.await_one(lambda: not path.exists())
        if not taken:
            with suppress(FileNotFoundError):
                path.unlink()
                return ""
        return "one process"

    def _full(self, blow: Blow) -> str:
        path = self.ground.store / f"stuff-{time.monotonic_ns()}"
        with open(path, "wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1 << 9):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))
            filled = file.tell()
        time.sleep(blow.seconds)
        os.unlink(path)
        return f"{filled >> 20} MB for {blow.seconds:.1f} s"

    def _lie(self, blow: Blow) -> str:
        client = blow.fault.value.split()[0]
        way = blow.pick(sorted(TOLD[client]))
        self._lies += 1
        name = self.ground.lies.tell(client, way, self._lies)
        if not self.await_one(lambda: self.ground.lies.believed(name)) and self.ground.lies.withdraw(name):
            return ""
        return way


KILLS = {
    Fault.STAGE_PROCESS: "stage process",
    Fault.KEEPER: "keeper",
    Fault.SUPERVISOR: "supervisor",
    Fault.SCRIPT: "script",
    Fault.GATE: "gate",
    Fault.HELPER: "helper",
    Fault.DRIVER: "driver",
}
STRIKES: dict[Fault, Callable[[Striker, Blow], str]] = {
    Fault.CALL: Striker._call,
    Fault.ELEMENT: Striker._element,
    Fault.ARRAY: Striker._array,
    Fault.CANCELLED_GATE: Striker._gate,
    Fault.REQUEUE: Striker._requeue,
    Fault.PREEMPTION: Striker._preempt,
    Fault.SLURMD: Striker._slurmd,
    Fault.CONTROLLER_DIES: Striker._controller_dies,
    Fault.CONTROLLER_STOPS: Striker._controller_stops,
    Fault.MEMORY: Striker._greed,
    Fault.FULL: Striker._full,
    Fault.SBATCH: Striker._lie,
    Fault.SQUEUE: Striker._lie,
    Fault.SACCT: Striker._lie,
}
