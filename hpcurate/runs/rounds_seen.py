"""The rounds of a stage in the light of the queue: which of them may still have workers. Only reads.

A round is over on evidence alone: what stands in the store, the scheduler's word that its jobs have ended, two answers
some time apart of the ticket's own cluster that does not list them, or the death or silence of the process whose
children its workers are.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hpcurate.planning.pipeline import PlannedStage, Timing
from hpcurate.runs.beats import Stillness
from hpcurate.runs.launcher import Presence, Queue
from hpcurate.runs.queues import ThrottledQueue, queue_named
from hpcurate.runs.reconcile import Phase, RoundView
from hpcurate.store.rounds import LET_GO, Jobs, Round, Ticket
from hpcurate.store.stage_store import StageStore
from hpcurate.verdict import Allowance
from hpcurate.world import World

SUBMITTING_S = 60.0
"""How long a ticket without its job may show no sign of life before its submission counts as lost."""
NO_ANSWER = "cannot be seen: the scheduler does not answer"
Watched = Callable[[str, int], bool | None]
"""(stage, round) → whether a gate of the run waits for it, or its driver stays; None: that will be seen soon."""


class Seen(msgspec.Struct, frozen=True):
    """What a look makes of a round that nobody has marked as over."""

    phase: Phase
    why: str = ""
    jobs: Jobs = Jobs()
    elsewhere: bool = False


class RoundsSeen:
    """The rounds of stages, in the light of the queue. Remembers what was seen: a second look is a second one."""

    def __init__(self, world: World, queue: Queue, watched: Watched, timing: Timing, run: str = "") -> None:
        self._clock, self._processes, self._watched, self._timing = world.clock, world.processes, watched, timing
        self._own, self._queues, self._run = queue, {queue.name: queue}, run
        self._still = Stillness(world.clock)

    def views(self, stage: PlannedStage, store: StageStore) -> tuple[RoundView, ...]:
        """All of them; only the last one, and one that its user cancelled, can still be alive."""
        rounds = store.rounds.read()
        past = tuple(self._earlier(stage, store, found) for found in rounds[:-1])
        return past + tuple(self._last(stage, store, found) for found in rounds[-1:])

    def _earlier(self, stage: PlannedStage, store: StageStore, found: Round) -> RoundView:
        """One after which others have begun, which is over; or its user's word was enough to go on.

        Then it is looked at until it is over: what its workers held is nobody else's before that.
        """
        if found.over or not found.cancelled:
            return self._past(found)
        seen = self._seen(stage, store, found)
        return self._view(found, seen) if seen.phase in (Phase.OVER, Phase.VANISHED) else self._past(found)

    def _last(self, stage: PlannedStage, store: StageStore, found: Round) -> RoundView:
        if found.over:
            return self._past(found)
        seen = self._seen(stage, store, found)
        if found.cancelled and seen.phase in (Phase.SUBMITTING, Phase.UNKNOWN):  # its user's word is enough to go on
            return self._past(found)
        watched = self._watched(stage.name, found.number) if seen.phase is Phase.ACTIVE else False
        return msgspec.structs.replace(self._view(found, seen), watched=watched)

    def _seen(self, stage: PlannedStage, store: StageStore, found: Round) -> Seen:
        key = f"{stage.folder} {found.number}"
        sign = b"" if found.jobs and found.ticket.queue else store.rounds.sign_of_life(found.number)
        return self._unsubmitted(key, found, sign) if found.jobs is None else self._submitted(key, found, sign)

    def _view(self, found: Round, seen: Seen) -> RoundView:
        return msgspec.structs.replace(
            self._past(found),
            phase=seen.phase,
            why=seen.why,
            jobs=seen.jobs,
            elsewhere=seen.elsewhere,
            jobs_recorded=found.jobs is not None or not (seen.jobs or seen.phase is Phase.OVER),
            over_recorded=seen.phase is not Phase.OVER,
        )

    def _past(self, found: Round) -> RoundView:
        return RoundView(
            number=found.number,
            phase=Phase.OVER,
            done_before=found.ticket.done_before,
            told_before=found.ticket.told_before,
            has=Allowance(memory_mb=found.ticket.memory_mb, seconds=found.ticket.seconds),
            special=found.ticket.special,
            exclude=found.ticket.exclude,
            jobs=found.jobs or Jobs(),
            submitter=found.ticket.submitter,
            started=found.jobs is not None,
            queue=found.ticket.queue,
            name=found.ticket.name,
            run=found.ticket.run,
            lists=found.ticket.lists,
            cancelled=found.cancelled and found.cancelled_run in (self._run, ""),
        )

    # -- with its jobs written down -----------------------------------------------------------------

    def _submitted(self, key: str, found: Round, sign: bytes) -> Seen:
        if not found.jobs:
            return Seen(Phase.OVER)
        if found.ticket.queue is None:
            return msgspec.structs.replace(self._children(key, found.ticket, found.jobs, sign), jobs=found.jobs)
        return self._scheduled(key, found.ticket, found.jobs)

    def _scheduled(self, key: str, ticket: Ticket, jobs: Jobs) -> Seen:
        queue, unheard = self._heard(ticket)
        if queue is None:
            return msgspec.structs.replace(unheard, jobs=jobs)
        asked, presence = self._clock.monotonic(), queue.presence(jobs.ids)
        if presence is Presence.ABSENT:
            return msgspec.structs.replace(
                self._negative(key, asked, "is no longer listed by the scheduler"), jobs=jobs
            )
        self._still.forget(f"{key} absent")
        if presence is Presence.UNKNOWN:
            return self._silent(queue, jobs)
        return Seen(Phase.ACTIVE if presence is Presence.ALIVE else Phase.OVER, jobs=jobs)

    def _negative(self, key: str, asked: float, what: str) -> Seen:
        """What an answer that lists no job means: nothing yet, or, after another one long enough ago, the end.

        As long ago as the scheduler is asked again: a remembered answer is not a second one.
        """
        if self._still.of(f"{key} absent", b"", asked) >= self._timing.ask_s:
            return Seen(Phase.OVER)
        return Seen(Phase.VANISHED, f"{what}; a second such answer {self._timing.ask_s:g} s later counts")

    def _heard(self, ticket: Ticket) -> tuple[Queue | None, Seen]:
        """Whose answers are evidence about a ticket's jobs; or None, and why there is nobody."""
        name = ticket.queue or ""
        if name not in self._queues:
            other = queue_named(name, self._own)
            if other is None:
                return None, Seen(Phase.UNKNOWN, f"was submitted to {name}, which nobody here can ask", elsewhere=True)
            self._queues[name] = ThrottledQueue(other, self._timing.ask_s, self._clock)
        queue = self._queues[name]
        answers = queue.cluster() if ticket.cluster else ""
        if answers is None:
            return None, self._silent(queue, Jobs())
        if answers != ticket.cluster and ticket.cluster:
            why = f"is on cluster {ticket.cluster}, and {answers} answers here"
            return None, Seen(Phase.UNKNOWN, why, elsewhere=True)
        return queue, Seen(Phase.UNKNOWN)

    def _silent(self, queue: Queue, jobs: Jobs) -> Seen:
        elsewhere = queue.name != self._own.name
        why = f"was submitted to {queue.name}, which does not answer here" if elsewhere else NO_ANSWER
        return Seen(Phase.UNKNOWN, why, jobs, elsewhere)

    # -- children of the process that took the ticket -------------------------------------------------

    def _children(self, key: str, ticket: Ticket, jobs: Jobs, sign: bytes) -> Seen:
        """They die with it; where it cannot be seen, one lease of silence is the end.

        One that is seen, and silent, may have forgotten them, or may be unable to write: then they are looked at.
        """
        owner = self._owner(ticket)
        silent = self._still.of(f"{key} sign", sign, self._clock.monotonic()) >= self._timing.lease_s
        forgotten = silent and bool(sign) and not any(self._processes.alive(worker) for worker in jobs.workers)
        if owner is False or (silent and owner is None) or (owner and forgotten):
            return Seen(Phase.OVER)
        if owner or self._still.moved(f"{key} sign"):
            return Seen(Phase.ACTIVE)
        where = f" on {ticket.submitter.host.split()[0]}" if ticket.submitter else ""
        lease = f"{self._timing.lease_s:g} s of silence are its end"
        return Seen(Phase.VANISHED, f"belongs to a process{where} that cannot be seen from here; {lease}")

    def _owner(self, ticket: Ticket) -> bool | None:
        return self._processes.alive(ticket.submitter) if ticket.submitter else None

    # -- a ticket without its job ----------------------------------------------------------------------

    def _unsubmitted(self, key: str, found: Round, sign: bytes) -> Seen:
        """Its owner may be about to write one. Where nobody is: what sbatch may have taken is looked for by name."""
        silent_s = self._still.of(f"{key} sign", sign, self._clock.monotonic())
        patience_s = SUBMITTING_S if found.ticket.queue else self._timing.lease_s
        if self._owner(found.ticket) is not False and sign != LET_GO and silent_s < patience_s:
            return Seen(Phase.SUBMITTING)
        if found.ticket.queue is None:
            return Seen(Phase.OVER)
        queue, unheard = self._heard(found.ticket)
        if queue is None:
            return unheard
        asked, ids = self._clock.monotonic(), queue.find(found.ticket.name)
        if ids is None:
            return self._silent(queue, Jobs())
        if ids:
            self._still.forget(f"{key} job absent")
            return self._scheduled(key, found.ticket, Jobs(ids))
        return self._negative(
            f"{key} job", asked, "may have been submitted, and the scheduler lists no job of its name"
        )
