"""Which shard next: heaviest first, each worker from its own start, claims listed seldom.

A listing may be stale or in part: it costs time, never truth. What decides is the exclusive create of a claim, and
whoever loses one remembers that the attempt exists, however long listings hide it.

Of a stage with many fan-out folders only those of the next shards in the worker's order are listed: its window. What
has ended otherwise than with a commit is tried after the last window, and a worker that finds nothing among others'
shards does not list all there are: so listings grow with the shards, not with workers times shards (I12).
"""

from __future__ import annotations

import itertools
import math
import sys
from array import array
from collections.abc import Iterable, Sequence

import msgspec

from hpcurate.failures import AGAINST, Against, AttemptEnd, Ending, concluded
from hpcurate.store.claims import Claim, Latest, LeaseWatch
from hpcurate.store.evidence import Evidence
from hpcurate.store.heartbeat import counter_of
from hpcurate.store.layout import fan_of
from hpcurate.store.lists import ShardLine
from hpcurate.store.stage_store import StageStore
from hpcurate.verdict import Allowance, judge
from hpcurate.worker.deadline import Room
from hpcurate.worker.heartbeat import Heartbeat
from hpcurate.world import World

WATCHED_CLAIMS = 16
"""Claims of others that one worker looks into at a listing, so that looking does not grow with workers squared."""

WINDOW_FANS = 1
"""Fan-out folders that a worker lists at a time, beside those that it has listed not long ago."""
LEAST_FANS = 16
"""So many more a worker lists that has come to the end of its own share; or as many as its share has shards."""

ANY = Room()
"""Enough for every shard."""


class Trial(msgspec.Struct, frozen=True, gc=False):
    """What a picker keeps of each shard in mind: its line, with all its inputs, takes several times the memory."""

    id: str
    weight: float
    place: int
    """In the list, of its line."""


def order_of_trial(lines: Iterable[ShardLine], index: int, workers: int) -> list[Trial]:
    """Heaviest first; this worker's share before the others'. Pure.

    Shares make collisions rare, and the rest makes every worker finish what others have not begun. Of shards of about
    the same weight a share has neighbours: they are in few fan-out folders, which is what a worker lists.
    """
    heavy = sorted(map(_trial, itertools.count(), lines), key=lambda trial: (-trial.weight, trial.id))
    owned = owners(heavy, max(1, workers))
    index %= max(1, workers)
    own = [trial for trial, owner in zip(heavy, owned) if owner == index]
    return own + [trial for trial, owner in zip(heavy, owned) if owner != index]


def owners(heavy: Sequence[Trial], workers: int) -> array[int]:
    """Which worker's share each of these is in, the heaviest being first. Pure.

    Those that weigh the same, but for a factor of two, are shared out evenly, each worker's one after the other.
    """
    found, first = array("l", bytes(array("l").itemsize * len(heavy))), 0
    for _, alike in itertools.groupby(heavy, _scale):
        count = sum(1 for _ in alike)
        places = sorted(range(first, first + count), key=lambda place: heavy[place].id)
        for number, place in enumerate(places):
            found[place] = (first + number * min(workers, count) // count) % workers
        first += count
    return found


def _trial(place: int, line: ShardLine) -> Trial:
    return Trial(line.id, line.weight, place)


def _scale(trial: Trial) -> int:
    """The same for weights between two powers of two."""
    return math.frexp(trial.weight)[1] if trial.weight > 0 else -sys.maxsize


def doubt(latest: Latest | None) -> int:
    """Shards without a history are tried first, those that something counts against last. Pure."""
    if latest is None:
        return 0
    counts = latest.ending is not None and AGAINST[latest.ending] is not Against.NOTHING
    return 2 if latest.suspect or counts else 1


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """The worker that picks."""

    index: int
    workers: int
    round: int
    element: str = ""
    node: str = ""
    memory_mb: int = 0
    """MiB that it has."""
    attempts: int = 5
    """See `PlannedStage`; `checkpoints` likewise."""
    checkpoints: bool = False


class Pick(msgspec.Struct, frozen=True):
    """A shard claimed by this worker."""

    line: ShardLine
    claim: Claim


class Picker:
    """Claims shards for the slots of one worker. Thread-safe."""

    def __init__(
        self,
        world: World,
        store: StageStore,
        lines: Sequence[ShardLine],
        heartbeat: Heartbeat,
        who: Who,
        *,
        listing_s: float,
        lease_s: float,
    ) -> None:
        self._world, self._store, self._heartbeat, self._who = world, store, heartbeat, who
        self._lines = lines
        self._order = order_of_trial(lines, who.index, who.workers)
        self._listing_s, self._watch, self._evidence = (
            listing_s,
            LeaseWatch(lease_s),
            Evidence(store, checkpoints=who.checkpoints),
        )
        self._own = -(-len(lines) // max(1, who.workers))
        """Shards of its own share, about, which come first in its order."""
        self._place = 0
        """In its order, of the first shard after the window."""
        self._window: list[Trial] = []
        self._passed: list[Trial] = []
        """Open shards of the windows before: in work elsewhere, or with a history."""
        self._in_vain = 0
        """Fan-out folders of others' shares that were listed since one had something to do."""
        self._fans: dict[str, tuple[float, dict[str, Latest]]] = {}
        """Fan-out folder → when it was listed, not long ago, and what was found of shards that may be open."""
        self._trial: list[Trial] = []
        self._done: set[str] = set()
        self._latest: dict[str, Latest] = {}
        self._taken: dict[str, Latest] = {}
        """Attempts that exist for sure: their claim was ours, or could not be ours."""
        self._histories: dict[str, tuple[Latest, int, tuple[AttemptEnd, ...]]] = {}
        """Shard → its newest attempt, how many rounds were over, and how it and those before it had ended by then."""
        self._claims: dict[str, Claim] = {}
        """Shard → the claim of its newest attempt that was read."""
        self._doubtful: Pick | None = None
        """Ours, maybe: the store failed while it was claimed, and may have done so before it answered."""
        self.waits = False
        """There are claims without content, whose owner nobody can name: only somebody who stays can end them."""
        self._listed = float("-inf")
        self._lock = world.clock.lock()
        self._me = world.processes.mine()

    def next(self, room: Room = ANY, *, ahead: bool = False) -> Pick | None:
        """Claim the next free shard that there is `room` for; None when nothing is to be done, or no longer by us.

        `ahead`: while the slot is at the one before.

        Raises OSError if the store cannot be read or written; the next call looks again.
        """
        with self._lock:
            doubtful = self._doubtful
            ours = doubtful and self._store.claims.read(doubtful.line.id, doubtful.claim.attempt) == doubtful.claim
            self._doubtful = None
            if doubtful and ours:
                self._taken[doubtful.line.id] = Latest(doubtful.claim.attempt)
                return doubtful
            if self._world.clock.monotonic() - self._listed >= self._listing_s:
                self._fans.clear()
                self._pass_taken()
                self._list()
            return self._from_here(room, ahead) or self._from_the_start(room, ahead)

    def _from_here(self, room: Room, ahead: bool) -> Pick | None:
        """From this window on. What has a history waits until the last one."""
        pick = self._claim_first(room, ahead)
        while pick is None and self._move_on():
            self._list()
            pick = self._claim_first(room, ahead)
        if pick is not None:
            self._in_vain = 0
        return pick

    def _from_the_start(self, room: Room, ahead: bool) -> Pick | None:
        """Once more: for shards that were handed back or left by the dead, and for those with a history."""
        self._window, self._passed = self._open_again()
        self._list(again=True)
        return self._claim_first(room, ahead) or (self._claim_first(room, ahead, True) if room.fresh else None)

    def _open_again(self) -> tuple[list[Trial], list[Trial]]:
        """What is open in as many folders as it may list, and the rest, which comes first the next time."""
        trials = [trial for trial in (*self._passed, *self._window) if trial.id not in self._done]
        fans = set(list(dict.fromkeys(fan_of(trial.id) for trial in trials))[: self._most_fans])
        return (
            [trial for trial in trials if fan_of(trial.id) in fans],
            [trial for trial in trials if fan_of(trial.id) not in fans],
        )

    @property
    def _most_fans(self) -> int:
        return max(LEAST_FANS, self._own)

    @property
    def _at_the_end(self) -> bool:
        """Whether there is no window after this one for this worker."""
        return self._place >= len(self._order) or self._in_vain >= self._most_fans

    def _move_on(self) -> bool:
        """To the next shards of its order that may be open, in a few fan-out folders. False at the end."""
        if self._at_the_end:
            return False
        self._passed += [trial for trial in self._window if trial.id not in self._done]
        begin, fans = self._place, set[str]()
        while self._place < len(self._order):
            trial = self._order[self._place]
            if trial.id not in self._done and (fan := fan_of(trial.id)) not in self._fans and fan not in fans:
                if len(fans) == WINDOW_FANS:
                    break
                fans.add(fan)
            self._place += 1
        self._window = [trial for trial in self._order[begin : self._place] if trial.id not in self._done]
        self._in_vain += len(fans) if begin >= self._own else 0
        return bool(self._window)

    def _pass_taken(self) -> None:
        """What exists for sure needs no look now; where that is all of the window, the next one is listed instead."""
        self._passed += [trial for trial in self._window if trial.id in self._taken]
        self._window = [trial for trial in self._window if trial.id not in self._taken]
        if not self._window:
            self._move_on()

    def _list(self, *, again: bool = False) -> None:
        """The folders of the window; `again`: also those that were listed a moment ago."""
        now = self._world.clock.monotonic()
        self._fans = {} if again else {fan: seen for fan, seen in self._fans.items() if now - seen[0] < self._listing_s}
        for fan in dict.fromkeys(fan_of(trial.id) for trial in self._window):
            if fan in self._fans:
                continue
            self._done |= self._store.commits.all_of(fan)
            found = self._store.claims.latest(fan)
            self._fans[fan] = now, {shard: one for shard, one in found.items() if shard not in self._done}
        listed = ((trial.id, self._fans[fan_of(trial.id)][1].get(trial.id)) for trial in self._window)
        latest = {shard: one for shard, one in listed if one is not None}
        self._latest = {**latest, **{s: t for s, t in self._taken.items() if _hidden(latest.get(s), t)}}
        self._evidence.over = self._store.rounds.over()
        self._look_for_the_dead()
        self._trial = sorted((trial for trial in self._window if trial.id not in self._done), key=self._doubt)
        self._listed = self._world.clock.monotonic()

    def _doubt(self, trial: Trial) -> int:
        return doubt(self._latest.get(trial.id))

    def _claim_first(self, room: Room, ahead: bool, at_last: bool = False) -> Pick | None:
        lost = 0
        for trial in () if self._who.round in self._evidence.over else self._trial:
            latest = self._latest.get(trial.id)
            if trial.id in self._done or (latest and latest.ending is None):
                continue
            if latest is not None and not self._at_the_end:  # it has a history
                continue
            if not self._is_for(room, trial, latest, at_last):
                continue
            pick = self._claim(trial, latest, room, ahead)
            if pick:
                return pick
            lost += 1
            if lost & (lost - 1) == 0:  # the first, the second, the fourth …: others are here
                self._see_claimed(fan_of(trial.id))
        return None

    def _see_claimed(self, fan: str) -> None:
        """What others have claimed in a folder since it was listed need not be tried."""
        self._latest = {**self._store.claims.latest(fan), **self._latest}

    def _is_for(self, room: Room, trial: Trial, latest: Latest | None, at_last: bool) -> bool:
        """Whether it is for this round and this worker. One that was handed back in its only attempt is not read (I12).

        Why a worker died that had one task of it alone in work is for the next round, where the scheduler can say.
        """
        if latest is None or latest.untold:
            return room.takes(trial.weight, Allowance(), at_last=at_last)
        history = self._history(trial.id, latest)
        verdict = judge(history, self._who.attempts, room.limits)
        takes = not verdict.stuck and room.takes(trial.weight, verdict.needs, at_last=at_last)
        return takes and not self._evidence.awaits_word(trial.id, history)

    def _history(self, shard: str, latest: Latest) -> tuple[AttemptEnd, ...]:
        known, over = self._histories.get(shard), len(self._evidence.over)
        if known is None or known[:2] != (latest, over):
            known = self._histories[shard] = latest, over, self._evidence.history(shard, latest)
        return known[2]

    def _claim(self, trial: Trial, latest: Latest | None, room: Room, ahead: bool) -> Pick | None:
        if latest and self._store.commits.stands(trial.id):  # between our two listings, or hidden from them
            self._done.add(trial.id)
            return None
        attempt = latest.attempt + 1 if latest else 1
        claim = Claim(
            shard=trial.id,
            attempt=attempt,
            nonce=self._world.nonce(8),
            worker=self._heartbeat.worker,
            process=self._me,
            round=self._who.round,
            element=self._who.element,
            history=self._history(trial.id, latest) if latest else (),
            checkpoint=self._evidence.checkpoint(trial.id),
            ahead=ahead,
            memory_mb=self._who.memory_mb,
            seconds=room.left if room.left < math.inf else 0.0,
            node=self._who.node,
            at=round(self._world.clock.now().timestamp(), 3),
        )
        pick = self._doubtful = Pick(self._lines[trial.place], claim)
        won = self._store.claims.take(claim)
        self._doubtful = None
        self._latest[trial.id] = self._taken[trial.id] = Latest(attempt)  # ours or another's: taken either way
        return pick if won else None

    def _look_for_the_dead(self) -> None:
        """Find attempts whose worker is gone, among the first few open claims in our order."""
        self.waits = False
        running = [trial.id for trial in self._window if self._is_running(trial.id)]
        for shard in running[:WATCHED_CLAIMS]:
            latest = self._latest[shard]
            asked, claim = self._world.clock.monotonic(), self._read(shard, latest.attempt)
            if claim is None:  # half written, by a worker that may have died there
                if self._stands_still(f"claim of {shard}", b"", asked):
                    self._latest[shard] = msgspec.structs.replace(latest, ending=Ending.LOST)
                else:
                    self.waits = True
            elif claim.worker != self._heartbeat.worker:
                self._latest[shard] = self._looked_at(claim, latest)

    def _read(self, shard: str, attempt: int) -> Claim | None:
        """A claim, which never changes once it is whole."""
        known = self._claims.get(shard)
        if known is None or known.attempt != attempt:
            known = self._store.claims.read(shard, attempt)
        if known is not None:
            self._claims[shard] = known
        return known

    def _looked_at(self, claim: Claim, latest: Latest) -> Latest:
        """The attempt with what can be concluded of it; as it was while it may be in work."""
        alive, lease_over = self._world.processes.alive(claim.process), self._stood_still(claim.worker)
        round_over = claim.round in self._evidence.over
        ending = concluded(alive, round_over=round_over, lease_over=lease_over)
        if ending is None:
            return latest
        return msgspec.structs.replace(latest, ending=ending, suspect=latest.suspect or self._evidence.condemns(claim))

    def _is_running(self, shard: str) -> bool:
        latest = self._latest.get(shard)
        return shard not in self._done and latest is not None and latest.ending is None

    def _stood_still(self, worker: str) -> bool:
        asked = self._world.clock.monotonic()
        try:
            counter = counter_of(self._world.filesystem.read(self._store.folder.worker(worker)))
        except FileNotFoundError:
            counter = b""
        except OSError:  # no answer: two of them are not the same counter twice
            return False
        return self._stands_still(worker, counter, asked)

    def _stands_still(self, name: str, counter: bytes, asked: float) -> bool:
        answered = self._world.clock.monotonic()
        return self._watch.stood_still(name, counter, asked, self._heartbeat.gapless_since, answered)


def _hidden(listed: Latest | None, taken: Latest) -> bool:
    """Whether a listing lacks an attempt that is known to exist. Pure."""
    return listed is None or listed.attempt < taken.attempt
