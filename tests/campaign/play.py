"""One run from the first command to its end, with faults; and the undisturbed one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import attrs
from checkout import ROOT

from tests.campaign.faults import Blow, Fault, blows, kinds, moments
from tests.campaign.ground import Ground, store_of_its_own
from tests.campaign.judgement import Tree, judgement
from tests.campaign.machine import Machine, Site
from tests.campaign.person import Move, next_move
from tests.campaign.pipelines import Pipeline, Text
from tests.campaign.strikes import Striker
from tests.campaign.table import Glance, Hit, Played

LOOK_S = 0.25
TYPED_AT_MOST = 25
ENDS_S = 900.0
LEAVES_S = 90.0
"""How long jobs and processes of a run that is over may take to leave."""
GHOST_S = 30.0
"""After which a job without a process is one of which Slurm has forgotten the end: its controller died just then."""


@attrs.define(frozen=True, kw_only=True)
class Undisturbed:
    """A run that nothing happened to."""

    tree: Tree
    output: Path
    seconds: float
    shards: int
    rounds: int


@attrs.define(frozen=True, kw_only=True)
class Plan:
    """A run that much is to happen to."""

    pipeline: Pipeline
    seed: int
    faults: int
    longest_s: float = 60.0


def launcher_of(site: Site) -> str:
    """What runs stages there."""
    return "local" if isinstance(site, Machine) else "slurm"


class Run:
    """Its ground, and whoever types its command."""

    def __init__(self, ground: Ground, pipeline: Pipeline, say: Callable[[str], None], launcher: str = "slurm") -> None:
        self.ground, self.say = ground, say
        self.command = pipeline.command(ground.store, ground.output, launcher)
        self.began, self.ended = time.monotonic(), threading.Event()
        self.typed = 0
        self._call: subprocess.Popen[bytes] | None = None

    def glance(self, shards: int) -> Glance:
        """How things stand."""
        return Glance(
            at_s=time.monotonic() - self.began,
            share=min(1.0, self.ground.commits / max(shards, 1)),
            rounds=self.ground.rounds,
            attempts=self.ground.attempts,
            typed=self.typed,
        )

    def type_command(self) -> None:
        """Once more."""
        self.typed += 1
        with open(self.ground.folder / "calls.log", "ab") as log:
            self._call = subprocess.Popen(self.command, env=self.ground.environment, stdout=log, stderr=log)

    def to_its_end(self) -> list[str]:
        """Type the command, and again whenever it is needed; what went wrong."""
        self.type_command()
        empty = still = time.monotonic()
        before = -1
        while True:
            time.sleep(LOOK_S)
            now, jobs, commits = time.monotonic(), self.ground.jobs(), self.ground.commits
            empty = empty if jobs == [] else now
            still = still if commits == before else now
            before = commits
            move = self._move(jobs, now - empty, now - still)
            if move is Move.OVER:
                return []
            if now - self.began > ENDS_S or (move is Move.TYPE and self.typed >= TYPED_AT_MOST):
                return [f"no end after {now - self.began:.0f} s and {self.typed} commands: {self.ground.state}, {jobs}"]
            if move is Move.TYPE:
                self.say(f"typed again: {self.ground.state or 'no summary'}, {len(jobs or [])} jobs")
                self.type_command()
                empty = still = now

    def _move(self, jobs: list[dict[str, str]] | None, empty_s: float, still_s: float) -> Move:
        return next_move(
            state=self.ground.state,
            calling=self._call is not None and self._call.poll() is None,
            jobs=None if jobs is None else len(jobs),
            empty_s=empty_s,
            still_s=still_s,
        )

    def left(self) -> tuple[list[str], int]:
        """Jobs and processes that are there although the run is over; how many jobs only Slurm believed in.

        Those are cancelled, as a person would: nothing of the run has run for a while, and still they are listed.
        """
        ghosts, bare = 0, time.monotonic()
        deadline = bare + LEAVES_S
        while (jobs := self.ground.jobs()) != [] or self.ground.processes():
            there = {kind: len(those) for kind, those in self.ground.processes().items()}
            now = time.monotonic()
            bare = now if there or not jobs else bare
            if now > deadline:
                return [f"left behind: processes {there}, jobs {jobs}"], ghosts
            if now - bare > GHOST_S:
                ghosts += sum(job["State"] == "RUNNING" for job in jobs or [])
                self.ground.slurm.run("scancel", *(job["JobID"] for job in jobs or []))
                bare = now
            time.sleep(LOOK_S)
        return [], ghosts


def undisturbed(
    pipeline: Pipeline, folder: Path, slurm: Site, say: Callable[[str], None], launcher: str = "slurm"
) -> Undisturbed:
    """Nothing happens to it. With another launcher it takes another time, and has the same tree."""
    (folder / "store").mkdir(parents=True)
    run = Run(Ground(folder, slurm, mounted=False), pipeline, say, launcher)
    wrong = run.to_its_end()
    end = run.glance(run.ground.commits)
    wrong += run.left()[0]
    assert not wrong, wrong
    assert run.ground.state == "complete", run.ground.state
    tree = run.ground.tree()
    return Undisturbed(
        tree=tree, output=run.ground.output, seconds=end.at_s, shards=run.ground.commits, rounds=end.rounds
    )


def play(plan: Plan, usual: Undisturbed, folder: Path, slurm: Site, say: Callable[[str], None]) -> Played:
    """A run with its faults, and whether it ended as it has to. If not, its store is copied beside it."""
    with store_of_its_own(folder) as mounted:
        ground = Ground(folder, slurm, mounted=mounted)
        run = Run(ground, plan.pipeline, say, launcher_of(slurm))
        striker = Striker(ground, run.command, run.ended.is_set)
        with ThreadPoolExecutor(plan.faults + 1) as pool:
            hits = pool.submit(Faults(plan, run, striker, usual.shards).all)
            try:
                wrong = run.to_its_end()
                end = run.glance(usual.shards)
            finally:
                run.ended.set()
        done, missed = hits.result()
        left, ghosts = run.left()
        wrong += left
        if ghosts and not any(hit.fault is Fault.CONTROLLER_DIES for hit in done):
            wrong.append(f"{ghosts} jobs that nobody runs, and no controller forgot their end")
        if ground.state != "complete":
            wrong.append(f"ended as {ground.state}")
        letters, more = judgement(usual.tree, ground.tree(), unlike(usual.output, ground.output), striker.helpers)
        if wrong + more:
            shutil.copytree(ground.store, folder / "kept", symlinks=True)
            if not isinstance(slurm, Machine):
                shutil.copytree(slurm.folder / "log", folder / "slurm-log")
    return Played(
        pipeline=plan.pipeline.name,
        launcher=launcher_of(slurm),
        seed=plan.seed,
        shards=usual.shards,
        usual_s=usual.seconds,
        usual_rounds=usual.rounds,
        hits=tuple(done),
        end=end,
        missed=missed,
        ghosts=ghosts,
        letters=tuple(map(str, letters)),
        wrong=tuple(wrong + more),
    )


class Faults:
    """All that is to happen to one run, each at its moment."""

    def __init__(self, plan: Plan, run: Run, striker: Striker, shards: int) -> None:
        self._plan, self._run, self._striker, self._shards = plan, run, striker, shards
        seed = f"{plan.pipeline.name} {plan.seed}"
        self._moments = moments(seed, plan.faults)
        local = launcher_of(run.ground.slurm) == "local"
        among = kinds(text=isinstance(plan.pipeline, Text), mounted=run.ground.mounted, local=local)
        self._blows, self._drawing = blows(seed, among, plan.longest_s), threading.Lock()
        self.missed = 0

    def all(self) -> tuple[list[Hit], int]:
        """Do them, until the run is over; what was hit, and how many hit nothing."""
        with ThreadPoolExecutor(len(self._moments)) as pool:
            begun = list(self._begun(pool))
        return [hit for one in begun if (hit := one.result()) is not None], self.missed

    def _begun(self, pool: ThreadPoolExecutor) -> Iterator[Future[Hit | None]]:
        for moment in self._moments:
            while self._run.ground.commits < moment * self._shards:
                if self._run.ended.wait(LOOK_S):
                    return
            yield pool.submit(self._one)

    def _one(self) -> Hit | None:
        """One fault; another one if there is nothing that the first could hit."""
        while not self._run.ended.is_set():
            blow = self._next()
            before = self._run.glance(self._shards)
            if what := self._striker.strike(blow):
                self._run.say(f"{before.at_s:6.1f} s  {blow.fault.value}: {what}")
                return Hit(fault=blow.fault, what=what, glance=before)
            self.missed += 1
        return None

    def _next(self) -> Blow:
        with self._drawing:
            return next(self._blows)


def unlike(a: Path, b: Path) -> list[str]:
    """Every difference that `scripts/same-tree` finds."""
    compare = (
        "import sys; from importlib.machinery import SourceFileLoader as L; from pathlib import Path as P;"
        "m = L('same_tree', sys.argv[1]).load_module();"
        "print(*m.differences(P(sys.argv[2]), P(sys.argv[3])), sep='\\n')"
    )
    command = [sys.executable, "-B", "-W", "ignore", "-c", compare, ROOT / "scripts" / "same-tree", a, b]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line]
