"""One episode: people type commands on a site where things go wrong, then nothing goes wrong any more, and all is well."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import attrs

from hpcurate.errors import HpcurateError
from hpcurate.planning.pipeline import Pipeline
from hpcurate.runs.cancel import cancel
from hpcurate.runs.folder import Frozen, Run, open_run, open_store
from hpcurate.runs.handover import hand_over
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.start import freeze_run
from hpcurate.runs.state import RunState
from hpcurate.source.compare import Edits
from hpcurate.source.intake import take_in, write_stage_json
from hpcurate.source.scan import scan
from hpcurate.store import layout
from hpcurate.store.layout import Store
from hpcurate.worker import picker
from hpcurate.world import World
from tests.simulation.cluster import Manners
from tests.simulation.filesystem import Faults, old_paths
from tests.simulation.grouping import Grouping
from tests.simulation.groups import GROUPED
from tests.simulation.kernel import Event, Host, Process, Tempo, Violation
from tests.simulation.order import Order
from tests.simulation.plan import Plan
from tests.simulation.result import check_run
from tests.simulation.results import Needs
from tests.simulation.retrying import Kept, retry_at_last, schedule
from tests.simulation.site import STORES, Site, interrupt, launcher_config
from tests.simulation.truth import Truth
from tests.simulation.work import BUG, DOOM, HUNGRY, KILLER, MOST, POISON, Numbers, pipeline_of

MESS_S = 4000.0
"""Until when things go wrong."""
MOST_CALLS = 12
"""So often a user types the command again before it counts as not getting anywhere."""


@attrs.define(kw_only=True)
class Result:
    """What became of an episode."""

    seed: int
    plan: Plan
    violation: str = ""
    steps: int = 0
    interleaving: int = 0
    seconds: float = 0.0
    commits: int = 0
    attempts: int = 0
    takeovers: int = 0
    trace: list[Event] = attrs.field(factory=list)


_pipeline = functools.cache(pipeline_of)


class Episode:
    """Everything of one."""

    def __init__(self, seed: int, plan: Plan, *, tracing: bool = False) -> None:
        self.seed, self.plan = seed, plan
        self.dice = random.Random(f"events {seed}")
        full = tuple((t, t + self.dice.uniform(30, 900)) for t in self._times(plan.full))
        self.tempo = Tempo(stops=plan.stops)
        self.faults = Faults(stale_s=plan.stale_s, errors=plan.errors, hangs=plan.hangs, links=plan.links, full=full)
        self.faults.lost_rows = plan.lost_rows
        manners = Manners(
            silent=plan.silent,
            empty=plan.empty,
            unanswered=plan.unanswered,
            late_s=plan.late_s,
            refused=plan.refused,
            accounting=plan.accounting,
            limit_s=plan.limit_s,
            limit=plan.most_queued,
            kill_wait=plan.kill_wait,
        )
        self.site = Site.build(
            seed,
            tempo=self.tempo,
            faults=self.faults,
            manners=manners,
            nodes=plan.nodes,
            two=plan.foreign,
            work_s=(plan.fastest_s, plan.slowest_s),
            ahead=plan.ahead,
            tracing=tracing,
        )
        self.kernel, self.stores = self.site.kernel, STORES[: plan.stores]
        names = [node.name for node in self._nodes]
        self.faults.cuts = tuple(
            (self.dice.choice(names), t, t + self.dice.uniform(100, 900)) for t in self._times(plan.cuts)
        )
        self.truths = {store: Truth(self.site, store) for store in self.stores}
        self.orders = {store: Order(truth) for store, truth in self.truths.items()}
        for store in self.stores if plan.bugs else ():
            Kept(self.site.disk, store)
        for truth in self.truths.values() if "shift" in plan.stages else ():
            Needs(truth)
        for truth in self.truths.values() if set(plan.stages) & set(GROUPED) else ():
            Grouping(truth)
        for host in self.kernel.hosts:
            host.namespaces = plan.namespaces
        self.values = {f"t{n}": n + 1 for n in range(plan.tasks)} | {f"x{n}": POISON + n for n in range(plan.poison)}
        self.values |= {f"{DOOM}0": 3} if plan.doomed else {}
        self.values |= {f"y{n}": KILLER + n for n in range(plan.killers)}
        self.values |= {f"h{n}": HUNGRY + n for n in range(plan.hungry)}
        self.site.memory, self.site.time = MOST if plan.hungry else 1, MOST if plan.longer else 1
        self.buggy = [f"{BUG}{n}" for n in range(plan.bugs)]
        self.values |= {name: 20 + n for n, name in enumerate(self.buggy)}
        self.site.unlucky |= {f"t{n}" for n in range(plan.accidents)}
        self.edits = Edits(changed="redo", vanished="keep") if plan.changes else Edits()
        self._calls: list[Process] = []
        self._cancels_left, self._interrupts_left = plan.cancels_at_gates, plan.interrupts
        self._cancelling: dict[Process, float] = {}
        """Calls of cancel that are under way, or have ended, and when."""

    def _times(self, count: int) -> list[float]:
        return sorted(self.dice.uniform(0, MESS_S * 0.6) for _ in range(count))

    # -- people -------------------------------------------------------------------------------------

    def pipeline(self, variant: int = 0) -> Pipeline:
        """As the user writes it."""
        shape = {name: getattr(self.plan, name) for name in ("shard_tasks", "processes", "limit_s", "budget")}
        return _pipeline(self.plan.stages, variant=variant, **shape)

    def type_run(
        self, process: Process, *, limit: int | None = None, variant: int = 0, stays: bool | None = None
    ) -> RunState | None:
        """`python -m hpcurate +pipeline=p …`; None if it ended with an error."""

        def run_it(world: World) -> RunState:
            pipeline, source = self.pipeline(variant), Numbers(dict(self.values))
            scanned = scan(source, limit)
            store = open_store(process.store, world.filesystem)
            run = open_run(store, pipeline, None, limit, world.filesystem, world.clock)
            write_stage_json(world.filesystem, store.stage(pipeline.source.folder), pipeline.source.identity)
            intake = take_in(world, store, pipeline.source.folder, scanned, limit, self.edits)
            config, started = launcher_config(self.plan.launcher, self.plan.workers), self.kernel.now
            most = {stage.name: make_launcher(config).most(stage) for stage in pipeline.stages}
            frozen = Frozen(
                pipeline=pipeline, source_lists=intake.lists, launcher=config, most=most, code="", output=run.output,
                keep="results" if self.plan.keeps_results else "all",
            )  # fmt: skip
            freeze_run(run, frozen, self.kernel.note, world)
            return self.hand_over(process, run, frozen, started, world, stays)

        return self.typed(process, run_it)

    def hand_over(
        self, process: Process, run: Run, frozen: Frozen, started: float, world: World, stays: bool | None = None
    ) -> RunState:
        """What every command does that starts something, and what must be true of what it says then."""
        wait, launcher = self.plan.stays if stays is None else stays, make_launcher(frozen.launcher)
        outcome = hand_over(
            run, launcher, wait or self.plan.launcher == "local" or None, self.kernel.note, _nobody, world
        )
        self.kernel.note("the command ends", f"{outcome.state.value} {outcome.report.reason}")
        lately = [p for p, ended in self._cancelling.items() if p.store == run.store.root and ended >= started]
        if outcome.report.reason == "cancelled by the user" and not lately:
            raise Violation(f"I14: {process.label} says that its run is cancelled, which was before it was typed")
        if outcome.state is RunState.RUNNING and not wait:
            self.orders[run.store.root].left_running(process, [stage.folder for stage in frozen.pipeline.stages])
        return outcome.state

    def typed(self, process: Process, command: Callable[[World], RunState | None]) -> RunState | None:
        """What a command comes to; None if it ended with an error."""
        process.on_terminate = interrupt
        try:
            return command(self.site.world(process))
        except (HpcurateError, OSError) as error:
            self.kernel.note("the command fails", error)
            if "cannot be read, e.g." in str(error) and not self.truths[process.store].mayhem:
                raise Violation(f"I10: what is healthy is called damaged: {error}") from error
            self._follow(str(error))
            return None
        except KeyboardInterrupt:
            self.kernel.note("the command is interrupted")
            return None

    def _follow(self, advice: str) -> None:
        """Do what an error says, once it has come again after a while: here, when nobody writes any more."""
        path = advice.partition(": is empty: another call")[0]
        if self.tempo.quiet and path != advice and self.site.disk.find(path) is not None:
            self.site.disk.hooks, hooks = [], self.site.disk.hooks
            self.site.disk.take(path, "user")
            self.site.disk.hooks = hooks

    def type_cancel(self, process: Process) -> None:
        """`hpcurate cancel`."""
        world = self.site.world(process)
        process.on_terminate = interrupt
        self._cancelling[process] = float("inf")
        process.at_end.append(lambda ended: self._cancelling.update({ended: self.kernel.now}))
        try:
            run = self.run_of(process)
            if run is not None:
                said = cancel(run, world, make_launcher(run.frozen().launcher))
                self.kernel.note("cancel", said)
        except (HpcurateError, OSError) as error:
            self.kernel.note("cancel fails", error)
        except KeyboardInterrupt:
            pass

    def run_of(self, process: Process) -> Run | None:
        """The run that there is."""
        filesystem = self.site.client(process.host)
        names = sorted(name for name in filesystem.names(f"{process.store}/runs") if not name.startswith("."))
        return Run(Store(process.store), names[0], filesystem) if names else None

    def call(
        self, what: str, action: Callable[[Process], Any], *, after: float = 0.0, host: Host | None = None,
        store: str = "",
    ) -> Process:  # fmt: skip
        """Somebody types something on a login node, about one of the stores."""
        host = self.dice.choice(self.site.login) if host not in self.site.login else host
        process = self.kernel.spawn(host, what, lambda process: action(process) and 0, after)
        process.store = store or (self.stores[0] if self.plan.stores == 1 else self.dice.choice(self.stores))
        self._calls.append(process)
        return process

    # -- what goes wrong ----------------------------------------------------------------------------

    def schedule(self) -> None:
        """When everything happens."""
        plan, host = self.plan, self.dice.choice(self.site.login)
        self._type_all(host)
        for cluster in self.site.clusters.values():
            cluster.at_start.append(self._at_gate)
            cluster.at_sbatch.append(self._interrupt)
        if plan.logout:
            self.kernel.at(self.dice.uniform(0, MESS_S / 2), lambda: self._log_out(host))
        for when in self._times(plan.others):
            self.kernel.at(when / 8, self._fill)  # while there is something to submit
        for count, action in [
            (plan.growth, self._grow), (plan.changes, self._change), (plan.kills, self._kill),
            (plan.host_deaths, self._kill_host), (plan.clock_jumps, self._jump), (plan.preempted, self._preempt),
            (plan.lost_nodes, self._lose), (plan.purges, self._purge), (plan.bad_files, self._spoil),
        ]:  # fmt: skip
            for when in self._times(count):
                self.kernel.at(when, action)
        schedule(self, MESS_S * 0.6)

    def _type_all(self, host: Host) -> None:
        """What people type, the first of it on this host."""
        plan = self.plan
        if plan.trial:
            self.call("trial", lambda p: self.type_run(p, limit=max(1, plan.tasks // 2)))
        first = self.dice.uniform(0, 200) if plan.trial else 0.0
        for store in self.stores:
            self.call("run", self.type_run, after=first, host=host, store=store)
        if plan.at_once:
            self.call("run'", self.type_run, after=first + self.dice.uniform(0, 1))
        if plan.sweep:
            self.call("sweep", lambda p: self.type_run(p, variant=1), after=first + self.dice.uniform(0, plan.sweep_s))
        for n, when in enumerate(self._times(plan.again)):
            self.call(f"again{n}", self.type_run, after=when)
        for n, when in enumerate(self._times(plan.cancels)):
            self.call(f"cancel{n}", self.type_cancel, after=when)

    def _grow(self) -> None:
        for _ in range(self.dice.randint(1, 2)):
            self.values[f"t{len(self.values)}"] = len(self.values) + 1
        self.call("grown", self.type_run, after=self.dice.uniform(0, 30))

    def _change(self) -> None:
        name = self.dice.choice(sorted(self.values))
        if self.values[name] < POISON:
            self.values[name] += 7
        self.call("changed", self.type_run, after=self.dice.uniform(0, 30))

    def _kill(self) -> None:
        processes = [p for p in self.kernel.processes.values() if p.alive]
        if processes:
            self.kernel.kill(self.dice.choice(processes))

    @property
    def _nodes(self) -> list[Host]:
        return [node for cluster in self.site.clusters.values() for node in cluster.nodes]

    def _kill_host(self) -> None:
        nodes = [node for node in self._nodes if node.processes]
        if nodes:
            self.kernel.kill_host(self.dice.choice(nodes))

    def _log_out(self, host: Host) -> None:
        self.site.login.remove(host)
        self.kernel.kill_host(host)

    def _at_gate(self, job: str) -> None:
        if job.startswith("gate-") and self._cancels_left:
            self._cancels_left -= 1
            self.call("cancel at gate", self.type_cancel, after=self.dice.uniform(0, 4))

    def _jump(self) -> None:
        host = self.dice.choice(self.kernel.hosts)
        host.offset += self.dice.uniform(10, 2000)
        self.kernel.note(f"! the clock of {host.name} jumps")

    def _preempt(self) -> None:
        running = [(c, job, element) for c in self.site.clusters.values() for job, element in c.running()]
        if running:
            cluster, job, element = self.dice.choice(running)
            cluster.preempt(element, job)

    def _lose(self) -> None:
        node = self.dice.choice(self._nodes)
        self.site.clusters[node.cluster].lose(node)

    def _interrupt(self, submitter: Process) -> None:
        """Somebody types Ctrl-C, or a gate is told to leave."""
        if self._interrupts_left and self.dice.random() < 0.4:
            self._interrupts_left -= 1
            self.kernel.terminate(submitter)

    def _fill(self) -> None:
        """Other jobs of the user are queued, and leave some time later."""
        for cluster in self.site.clusters.values():
            cluster.others = self.dice.randint(self.plan.most_queued - 2, self.plan.most_queued)
        self.kernel.at(self.kernel.now + self.dice.uniform(60, 1500), self._leave)

    def _leave(self) -> None:
        for cluster in self.site.clusters.values():
            cluster.others = 0

    def _spoil(self) -> None:
        """A file of a round cannot be read on one login node, for a while."""
        store = self.dice.choice(self.stores)
        files = [path for path, _ in self.site.disk.below(f"{store}/stages") if "/rounds/" in path]
        if files:
            client = self.site.client(self.dice.choice(self.site.login))
            path = f"{store}/stages/{self.dice.choice(files)}"
            client.unreadable[path] = self.kernel.now + self.dice.uniform(300, 1200)
            self.kernel.note(f"! {client.host.name} cannot read {path}")

    def _purge(self) -> None:
        """Somebody removes what lay there for long: a committed shard, a list, claims, an index; of no source."""
        truth, store = self.truths[self.stores[0]], self.stores[0]
        stages = [name for name in self.site.disk.listed(f"{store}/stages") if not name.startswith("source-")]
        found = [path for stage in stages for path in old_paths(self.site.disk, f"{store}/stages/{stage}")]
        if found:
            truth.mayhem = True
            path = self.dice.choice(found)
            truth.purged.add(path)
            self.site.disk.purge(path)

    # -- from beginning to end ----------------------------------------------------------------------

    def play_through(self) -> None:
        """Everything that happens."""
        self.schedule()
        self.move(MESS_S)
        self._calm_down()
        self.come_to_an_end()
        for store in self.stores if self.plan.bugs else ():
            retry_at_last(self, store)
        self._check_result()

    def play(self) -> Result:
        """All of it."""
        try:
            self.play_through()
        except Violation as error:
            self.kernel.violation = self.kernel.violation or error
        finally:
            self.kernel.park()
        found = self.kernel.violation
        notes = "\n".join(getattr(found, "__notes__", []))
        return Result(
            seed=self.seed,
            plan=self.plan,
            violation=f"{found}" if isinstance(found, Violation) else f"{found!r}\n{notes}" if found else "",
            steps=self.kernel.steps,
            interleaving=self.kernel.interleaving,
            seconds=self.kernel.now,
            commits=sum(truth.commits for truth in self.truths.values()),
            attempts=sum(truth.attempts for truth in self.truths.values()),
            takeovers=sum(truth.takeovers for truth in self.truths.values()),
            trace=self.kernel.trace or [],
        )

    def move(self, until: float, over: Callable[[], bool] = lambda: False) -> bool:
        """Let everybody go on; whether it was over before that time."""
        ended = self.kernel.run(until, 200_000, over)
        if self.kernel.violation is not None:
            raise Violation("see above")
        if self.kernel.steps > 200_000:
            raise Violation(
                f"I14: 200000 steps, and no end: {[p.label for p in self.kernel.processes.values() if p.alive]}"
            )
        return ended

    def _calm_down(self) -> None:
        """From here on nothing goes wrong any more; caches stay caches."""
        self.tempo.quiet, self.faults.errors, self.faults.hangs = True, 0.0, 0.0
        self.faults.full, self.faults.cuts, self.faults.lost_rows = (), (), 0.0
        for cluster in self.site.clusters.values():
            cluster.quiet, cluster.others = True, 0
        for client in self.site.clients.values():
            client.unreadable.clear()
        self.kernel.now = max(self.kernel.now, MESS_S)

    def come_to_an_end(self) -> None:
        """A user types the command until it is complete: where one did not get on, on the other login node.

        What can never be done has to be called stalled. Where all that is left to do is `hpcurate cancel`, which the
        error says, that is typed, too: by then nothing runs any more.
        """
        left = self._runs()
        if self.plan.changes:  # who stood still with the input as it was would have the last word
            self.move(self.kernel.now + 8000, lambda: not any(call.alive for call in self._calls))
        for n in range(MOST_CALLS):
            states = {run: self._type_at_last(n, *run) for run in left}
            left = [run for run in left if states[run] is not self.end]
            if not left:
                return
            if n % 4 == 3 and RunState.INCOMPLETE in states.values():
                call = self.call("cancel at last", self.type_cancel, host=self.site.login[0])
                self.move(self.kernel.now + 1000, lambda call=call: not call.alive)  # type: ignore[misc]
            later = self.kernel.now + 1500
            self.move(later)
            self.kernel.now = max(self.kernel.now, later)  # also where nobody moves: a user waits, caches expire
        raise Violation(f"I14: typed {MOST_CALLS} times, and the run is not complete")

    @property
    def hopeless(self) -> bool:
        """Whether no shard fits into the time that a worker may have at most."""
        return 0 < self.site.time * self.plan.limit_s < self.plan.fastest_s

    @property
    def end(self) -> RunState:
        """As what every run has to end."""
        if self.hopeless:
            return RunState.STALLED
        return RunState.FAILED if self.plan.doomed else RunState.COMPLETE

    def _runs(self) -> list[tuple[str, int]]:
        """(store, variant) of what has to be complete in the end."""
        return [(store, variant) for store in self.stores for variant in ([0, 1] if self.plan.sweep else [0])]

    def _type_at_last(self, number: int, store: str, variant: int) -> RunState | None:
        states: list[RunState | None] = []
        host = self.site.login[number % len(self.site.login)]
        call = self.call(
            f"last{number}",
            lambda p: states.append(self.type_run(p, variant=variant, stays=self.hopeless or None)),
            host=host,
            store=store,
        )
        longest = 20_000 if self.hopeless else 8000  # each shard is tried until it is clear that no job is long enough
        if not self.move(self.kernel.now + longest, lambda: not call.alive) and call.alive:
            raise Violation(f"I14: the command typed for the {number + 1}th time does not end")
        return states[0] if states else None

    def _check_result(self) -> None:
        """The result is that of an undisturbed run, and nobody works on."""
        self.move(self.kernel.now + 2000)
        for store, variant in self._runs() if not self.hopeless else []:
            check_run(self, store, self.pipeline(variant), retried=variant == 0)
        living = [p.label for p in self.kernel.processes.values() if p.alive]
        if living:
            raise Violation(f"I14: everything is complete, and {', '.join(living)} is still there")


def _nobody(*seen: object) -> None:
    """Sees the progress."""


_IN_THOUSANDS, _LEAST = layout.fan_of.__code__, picker.LEAST_FANS


def _in_pairs(shard: str) -> str:
    name, hyphen, ordinal = shard.rpartition("-")
    return f"{name}-{int(ordinal) // 2:03d}" if hyphen else shard[:3]


def play(seed: int, plan: Plan, *, tracing: bool = False) -> Result:
    """One episode."""
    layout.fan_of.__code__ = _in_pairs.__code__ if plan.pairs else _IN_THOUSANDS
    picker.LEAST_FANS = 1 if plan.pairs else _LEAST
    if plan.alone:
        from tests.simulation.array import ArrayEpisode  # it is an Episode, too

        return ArrayEpisode(seed, plan, tracing=tracing).play()
    return Episode(seed, plan, tracing=tracing).play()
