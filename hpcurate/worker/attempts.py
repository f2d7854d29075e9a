"""What a worker does with a shard that it claimed: judges its history, has it run, and commits it or hands it back."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import attrs
import msgspec

from hpcurate.errors import StoreFailed
from hpcurate.failures import Blame, Ending
from hpcurate.planning.plan import Plan
from hpcurate.stage_process.ahead import least_batches
from hpcurate.stage_process.messages import Done, ShardJob
from hpcurate.store.claims import Claim
from hpcurate.store.files import files_folder
from hpcurate.store.layout import Store
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import ShardCounts, ShardStats
from hpcurate.store.trouble import explain
from hpcurate.system.clock import Clock, Since
from hpcurate.system.patience import Patience
from hpcurate.verdict import Verdict, judge
from hpcurate.worker.deadline import Pace
from hpcurate.worker.hosts import Log, ShardEnded, StageHost
from hpcurate.worker.next_shard import Attempt, NextShard
from hpcurate.worker.picker import Pick
from hpcurate.worker.time_sheet import TimeSheet
from hpcurate.worker.turns import Turns

MAY_BE_THE_STORE = frozenset([Ending.CRASH, Ending.TIMEOUT, Ending.ERROR])
"""Endings that a store that fails can cause, as well as the stage."""
GiveUp = Callable[[ShardJob, str, Blame], ShardCounts]
"""See `Hosts.give_up`."""


class Attempts:
    """The attempts of one worker. Its slots call it side by side."""

    def __init__(
        self,
        plan: Plan,
        store: StageStore,
        worker: str,
        clock: Clock,
        leaving: Callable[[], bool],
        told: Callable[[], ShardEnded],
        give_up: GiveUp,
        log: Log,
        sheet: TimeSheet,
    ) -> None:
        """`told`: as what those end that are in work when the worker is told to leave at once."""
        self._plan, self._store, self._worker, self._clock = plan, store, worker, clock
        self._leaving, self._told, self._give_up, self._log, self._sheet = leaving, told, give_up, log, sheet
        self._root, self.pace, self._turns = Store(plan.store), Pace(plan.seconds_per_weight), Turns(clock)
        self._ahead: list[NextShard] = []
        self._owed: list[tuple[Pick, ShardEnded, tuple[float, float]]] = []
        """Attempts whose ending could not be written down yet, and when each was in work, from and to."""
        self._owing = clock.lock()
        self.uncommitted: set[str] = set()
        """Shards that are finished, and wait for their commit while the store fails."""

    # -- the shard ahead ----------------------------------------------------------------------------

    def next_shard(self, pick: Callable[[float], Pick | None]) -> NextShard:
        """What one slot claims ahead: with `pick`, which is given the weight of the shard before."""

        def claim(before: float) -> Attempt | None:
            try:
                found = pick(before) if self._may_look_ahead() else None
                return self.open(found) if found else None
            except OSError as error:  # the shard before will see for itself how the store is
                self._log(f"nothing could be claimed ahead: {error}")
                return None

        ahead = NextShard(self._clock.lock(), claim, self._may_look_ahead)
        self._ahead.append(ahead)
        return ahead

    def _may_look_ahead(self) -> bool:
        return not (self._leaving() or self._turns.awaited)

    def hand_back_unstarted(self) -> None:
        """Whatever is claimed ahead by now, and not in work."""
        for ahead in self._ahead:
            self.let_go(ahead, unless_begun=True)

    def let_go(self, ahead: NextShard, ended: ShardEnded | None = None, *, unless_begun: bool = False) -> None:
        """End what is claimed ahead: handed back, or as it ended with its stage process."""
        attempt = ahead.take(unless_begun=unless_begun)
        if attempt is not None:
            if attempt.begun:
                self._turns.end()
            self._hand_back(attempt.pick, ended or ShardEnded(Ending.FREE, "claimed ahead, and never begun"))

    # -- one shard ----------------------------------------------------------------------------------

    def open(self, pick: Pick) -> Attempt:
        """Ready to run: its directory is there. Raises OSError: then it is handed back."""
        try:
            self._store.commits.begin(pick.line.id, pick.claim.attempt, pick.claim.nonce)
            checkpoint = self._checkpoint(pick) if self._plan.stage.checkpoints else ""
        except OSError as error:
            self._hand_back(pick, self._by_the_store(error))
            raise
        verdict = judge(pick.claim.history, self._plan.stage.attempts, self._plan.limits)
        return Attempt(pick, msgspec.structs.replace(self._job(pick, verdict), checkpoint=checkpoint), verdict)

    def _checkpoint(self, pick: Pick) -> str:
        """The folder of what earlier attempts of its tasks have reached, also of those that ended as dead letters."""
        checkpoints, path = self._store.checkpoints, self._store.checkpoints.take(pick.line.id, pick.claim.attempt)
        for before in pick.line.retries:
            for letter in self._store.commits.dead_letters(before.shard):
                if letter.row is None or before.lo <= letter.row < before.hi:
                    checkpoints.adopt(files_folder(letter.id), before.shard, path)
        return path

    def work(self, host: StageHost, attempt: Attempt, patience: Patience, ahead: NextShard) -> ShardEnded | None:
        """One attempt: None if the shard is committed now, else how the attempt ended. Raises SetupFailed."""
        pick, since, ahead.before = attempt.pick, Since.now(self._clock), attempt.pick.line.weight
        try:
            done = self._run(host, attempt, ahead)
            self._leave_checkpoints(pick, done)
            won = self._commit(attempt.job.directory, self._stats(pick, done, since), patience)
        except ShardEnded as ended:
            ended = self._blamed(ended, attempt.job.directory)
            if ended.ahead:
                self.let_go(ahead, ended.ahead)
            return self._hand_back(pick, self._in_full(ended, pick.claim, since.seconds), since)
        except (OSError, StoreFailed) as error:  # the engine's own: what the stage raises is a dead letter
            return self._hand_back(pick, self._by_the_store(error), since)
        except BaseException as error:  # SetupFailed; Ctrl-C with the inline launcher
            why = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else "interrupted"
            self._hand_back(pick, ShardEnded(Ending.FREE, why), since)
            raise
        self._end_checkpoints(pick, won)
        patience.worked()
        self._sheet.committed(since.seconds, done) if won else self._sheet.lost(since.seconds)
        self.pace.learn(pick.line.weight, since.seconds)
        self._log(f"shard {pick.line.id} attempt {pick.claim.attempt}: {_describe(done, won)}")
        return None

    def _leave_checkpoints(self, pick: Pick, done: Done) -> None:
        """What failed because another attempt took its checkpoint may not end the shard. Raises OSError, ShardEnded.

        Where there is no other, a program has removed it: that is no excuse, or it would be tried for ever.
        """
        if not (self._plan.stage.checkpoints and done.counts.failed):
            return
        shard, attempt = pick.line.id, pick.claim.attempt
        left = self._store.checkpoints.leave(shard, attempt)
        if not left and self._store.claims.is_there(shard, attempt + 1):
            raise ShardEnded(Ending.FREE, "another attempt has taken its checkpoints, and goes on")

    def _end_checkpoints(self, pick: Pick, won: bool) -> None:
        """What cannot be removed, `hpcurate clean` removes."""
        if not self._plan.stage.checkpoints:
            return
        shard = pick.line.id
        with suppress(OSError):
            dead = {files_folder(letter.id) for letter in self._store.commits.dead_letters(shard)} if won else set()
            self._store.checkpoints.done(shard, pick.claim.attempt, dead)

    def _in_full(self, ended: ShardEnded, claim: Claim, lasted: float) -> ShardEnded:
        """With why it was in work no longer, where its worker was told to leave; who has begun nothing is only free.

        What counts is the time that it had, and not only what it used of that before it was told: in another job that
        has no more it would be told as early.
        """
        if ended.ending is not Ending.FREE or not ended.in_flight:
            return ended
        told = self._told()
        lasted = max(lasted, 0.0 if claim.ahead else claim.seconds)
        seconds = round(lasted, 3) if told.ending is Ending.WALLTIME else 0.0
        return attrs.evolve(told, in_flight=ended.in_flight, shared=ended.shared, seconds=seconds)

    def settle(self) -> None:
        """Write down the endings that could not be. Raises OSError."""
        with self._owing:
            while self._owed:
                pick, ended, (begun, over) = self._owed[0]
                said = ended.ending, ended.detail[:2000], ended.in_flight[:100], ended.shared
                peak_mb, seconds = ended.peak_mb, ended.seconds
                self._store.claims.end(pick.claim, *said, peak_mb=peak_mb, seconds=seconds, begun=begun, ended=over)
                self._owed.pop(0)

    def _run(self, host: StageHost, attempt: Attempt, ahead: NextShard) -> Done:
        pick, job, verdict = attempt.pick, attempt.job, attempt.verdict
        if verdict.exhausted:
            return Done(counts=self._give_up(job, self._plan.stage.name, verdict.exhausted), environment={})
        if job.note:
            self._store.claims.waits(pick.claim)
        with self._turns.turn(
            alone=verdict.alone, leaving=self._leaving, begun=attempt.begun, passed_on=lambda: ahead.begun
        ) as begun:
            if not begun:
                raise ShardEnded(Ending.FREE, "drained")
            return host.run(job, ahead)

    def _by_the_store(self, error: Exception) -> ShardEnded:
        return ShardEnded(Ending.STORE, explain(error, self._root.root) if isinstance(error, OSError) else str(error))

    def _blamed(self, ended: ShardEnded, directory: str) -> ShardEnded:
        """How it ended, in the light of how the store is: who maps files of it dies of a store that fails."""
        if ended.ending not in MAY_BE_THE_STORE:
            return ended
        try:
            self._store.commits.test_write(directory)
        except OSError as error:
            why = f"{self._by_the_store(error).detail}; the attempt had ended with it: {ended.detail}"
            ahead = ended.ahead and ShardEnded(Ending.STORE, why)
            return ShardEnded(Ending.STORE, why, ahead=ahead)
        return ended

    def _commit(self, directory: str, stats: ShardStats, patience: Patience) -> bool:
        """Whether ours is the committed attempt. Its work is done: while the store fails, the commit is tried again."""
        try:
            while True:
                try:
                    return self._store.commits.commit(directory, stats)
                except FileNotFoundError:  # somebody removed it: there is nothing to wait for
                    raise
                except OSError as error:
                    self._log(f"shard {stats.shard} attempt {stats.attempt}: cannot be committed yet: {error}")
                    self.uncommitted.add(stats.shard)
                    if not patience.pause(explain(error, self._root.root)):
                        raise
        finally:
            self.uncommitted.discard(stats.shard)

    def _job(self, pick: Pick, verdict: Verdict) -> ShardJob:
        stage, line = self._plan.stage, pick.line
        alone = verdict.isolate and not stage.relation.whole and (verdict.alone or stage.processes == 1)
        return ShardJob(
            shard=line.id,
            directory=self._directory(pick),
            ref=os.path.relpath(self._store.folder.shard(line.id), self._root.stages),
            root=self._root.stages,
            inputs=[
                (os.path.join(self._root.stage(i.stage).shard(i.shard), "tasks.jsonl"), i.lo, i.hi) for i in line.inputs
            ],
            offsets=list(line.offsets),
            kinds=[stage.kinds[i.stage] for i in line.inputs] if stage.kinds else [],
            groups=stage.relation.grouped,
            joins=stage.relation.grouped and len(stage.after) > 1,
            batch_size=stage.batch_size,
            least_batches=least_batches(self._plan.shards, self._plan.workers * stage.processes),
            whole=stage.relation.whole,
            isolate=verdict.isolate,
            poison=verdict.poison,
            above=list(line.above),
            tries=stage.tries,
            retry_on=stage.retry_on,
            backoff=stage.backoff,
            timeout=None if stage.task_timeout is None else stage.task_timeout * verdict.patience,
            note=self._store.folder.note(line.id, pick.claim.attempt) if alone else "",
        )

    def _stats(self, pick: Pick, done: Done, since: Since) -> ShardStats:
        return ShardStats(
            **msgspec.structs.asdict(done.counts),
            shard=pick.line.id,
            nonce=pick.claim.nonce,
            attempt=pick.claim.attempt,
            worker=self._worker,
            node=pick.claim.node,
            begun=since.begun,
            ended=since.until,
            history=pick.claim.history,
            gpu=done.gpu,
            environment=done.environment,
        )

    def _directory(self, pick: Pick) -> str:
        return self._store.folder.attempt(pick.line.id, pick.claim.attempt, pick.claim.nonce)

    def _hand_back(self, pick: Pick, ended: ShardEnded, since: Since | None = None) -> ShardEnded:
        """Remove what there is of the attempt, and write down why it ended: later, where that fails, too.

        `since` when it was in work; None: it was claimed and no more.
        """
        self._log(f"shard {pick.line.id} attempt {pick.claim.attempt} ended: {ended.ending.value}: {ended.detail}")
        with suppress(OSError):
            self._store.commits.discard(self._directory(pick))
        with self._owing:
            self._owed.append((pick, ended, (since.begun, since.until) if since else (0.0, 0.0)))
        if since:
            self._sheet.lost(since.seconds)
        with suppress(OSError):
            self.settle()
        return ended


def _describe(done: Done, won: bool) -> str:
    counts = done.counts
    ends = {"passed": counts.passed, "dropped": counts.dropped, "failed": counts.failed}
    words = ", ".join(f"{count} {name}" for name, count in ends.items() if count)
    return f"{words or 'empty'} in {counts.seconds:.1f} s" + ("" if won else " (another attempt was committed first)")
