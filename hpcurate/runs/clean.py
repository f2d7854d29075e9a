"""`hpcurate clean`: what nothing refers to goes. Why a run that is started meanwhile loses nothing: docs/protocol.md.

A stage's folder goes on probation first: with one rename into the trash, and after a while with a second look. Who
has begun to want it is then in its `wanted/`, and it is put back. Only what is renamed once more is deleted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from graphlib import TopologicalSorter
from typing import Any

import attrs

from hpcurate.planning.aliases import aliases_of
from hpcurate.runs.commits_seen import CONFIRM_S
from hpcurate.runs.references import References, live_stages, read_references, upstream_of
from hpcurate.store.checkpoints import numbers_of
from hpcurate.store.filesystem import POSIX, Filesystem
from hpcurate.store.layout import StageFolder, Store
from hpcurate.store.rounds import Rounds
from hpcurate.store.usage import Meter
from hpcurate.system.clock import Clock, SystemClock
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import nonce

__all__ = ["Cleaned", "Cleaner", "Removable", "dead_stages"]

PROBATION, GONE = "clean.", "gone."
"""How the names in the trash begin of folders that may be put back, and of those that will not."""


@attrs.define(frozen=True)
class Signs:
    """What changes in a stage's folder when somebody begins with it."""

    wanted: tuple[str, ...]
    rounds: tuple[str, ...]
    lists: tuple[str, ...]
    stamps: tuple[tuple[str, int], ...]
    """Of the folders of shards and claims."""


@attrs.define(frozen=True, kw_only=True)
class Removable:
    """What may go, in one look."""

    stages: tuple[str, ...]
    """Folders to which no run refers, directly or through what is made from them; what reads others first."""
    signs: Mapping[str, Signs]
    """Of each of them, and of each with leftovers."""
    attempts: tuple[tuple[str, str], ...]
    """(stage folder, path): what attempts have left that ended without a commit, and checkpoints that nobody goes on
    from, but for a retry of dead letters; in stages that stay."""
    probation: tuple[str, ...]
    """Names in the trash: an earlier clean was killed before it could decide."""
    trash: tuple[str, ...]
    """Names in the trash that are older than its retention."""
    kept: tuple[str, ...]
    """What would go but for something, in words."""

    def both(self, later: Removable) -> Removable:
        """What may go by this look and by a later one, and has not changed in between. Pure."""
        same = {name for name, signs in self.signs.items() if later.signs.get(name) == signs}
        return attrs.evolve(
            later,
            stages=tuple(name for name in later.stages if name in self.stages and name in same),
            attempts=tuple(one for one in later.attempts if one in self.attempts),
            probation=tuple(name for name in later.probation if name in self.probation),
            trash=tuple(name for name in later.trash if name in self.trash),
        )


@attrs.define(frozen=True, kw_only=True)
class Cleaned:
    """What a clean has done."""

    stages: tuple[str, ...]
    attempts: int
    trash: int
    put_back: tuple[str, ...]
    """Folders that somebody began to want meanwhile."""
    freed: int
    """Bytes."""

    def plain(self) -> dict[str, Any]:
        """What `hpcurate clean --yes --json` prints."""
        return attrs.asdict(self)


def dead_stages(references: References, busy: Iterable[str] = ()) -> tuple[str, ...]:
    """Folders to which nothing refers, in an order in which each goes before what it was made from. Pure.

    `busy`: those in which somebody may be at work.
    """
    wanted = [name for name, runs in references.stages.items() if runs]
    live = live_stages([*wanted, *busy], references.upstream)
    return below_first(references.stages.keys() - live, references.upstream)


class Cleaner:
    """Looks at one store, and removes what may go."""

    def __init__(
        self,
        store: Store,
        *,
        trash_s: float,
        filesystem: Filesystem = POSIX,
        clock: Clock | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._store, self._filesystem, self._clock = store, filesystem, clock or SystemClock()
        self._trash_s, self._say = trash_s, say

    # -- looking ------------------------------------------------------------------------------------

    def look(self, now: float) -> Removable:
        """What may go. `now`: by the clock that gives the files their times, as near as it is known."""
        references = read_references(self._store, self._filesystem)
        open_rounds = {name: self._open_round(self._store.stage(name)) for name in references.stages}
        busy = [*(name for name, why in open_rounds.items() if why), *references.maybe_read]
        stages, without = dead_stages(references, busy), dead_stages(references)
        attempts = [
            (name, path)
            for name in references.stages
            if name not in without and not open_rounds[name]
            for path in self._attempts(self._store.stage(name))
        ]
        in_trash = self._filesystem.names(self._store.trash)
        return Removable(
            stages=stages,
            signs={name: self._signs(self._store.stage(name)) for name in {*stages, *(name for name, _ in attempts)}},
            attempts=tuple(attempts),
            probation=tuple(sorted(name for name in in_trash if name.startswith(PROBATION))),
            trash=tuple(sorted(name for name in in_trash if self._is_old(name, now))),
            kept=(
                *(f"{name}: {open_rounds[name]}" for name in without if open_rounds[name]),
                *(
                    f"{name}: its stage.json cannot be read, so all that it may read stays"
                    for name in references.unknown
                ),
            ),
        )

    def _open_round(self, folder: StageFolder) -> str:
        """Why somebody may be at work there; empty if nobody is."""
        for one in Rounds(self._filesystem, folder).read():
            if not one.over:
                jobs = f" ({one.jobs})" if one.jobs else ""
                return f"round {one.number} of {one.ticket.run or 'some run'} is not over{jobs}"
        return ""

    def _signs(self, folder: StageFolder) -> Signs:
        names = self._filesystem.names
        tops = [f"{folder.path}/{kind}" for kind in ("shards", "claims")]
        fans = [f"{top}/{fan}" for top in tops for fan in sorted(names(top))]
        return Signs(
            wanted=tuple(sorted(names(folder.wanted))),
            rounds=tuple(sorted(names(folder.rounds))),
            lists=tuple(sorted(names(folder.lists))),
            stamps=tuple((path, self._filesystem.stamp(path)) for path in [*tops, *fans]),
        )

    def _attempts(self, folder: StageFolder) -> list[str]:
        """Folders of attempts: nobody of them is left."""
        return self._checkpoints(folder) + [
            f"{folder.shards(fan)}/{name}"
            for fan in sorted(self._filesystem.names(f"{folder.path}/shards"))
            for name in sorted(self._filesystem.names(folder.shards(fan)))
            if _is_attempt(name)
        ]

    def _checkpoints(self, folder: StageFolder) -> list[str]:
        """Those of committed shards, and of attempts before the one that came furthest."""
        found = []
        for fan in sorted(self._filesystem.names(f"{folder.path}/checkpoints")):
            names, done = self._filesystem.names(folder.checkpoints(fan)), self._filesystem.names(folder.shards(fan))
            for name in sorted(names):
                shard, _, number = name.rpartition(".")
                if shard in done or (number.isdigit() and int(number) < max(numbers_of(shard, names))):
                    found.append(f"{folder.checkpoints(fan)}/{name}")
        return found

    def _is_old(self, name: str, now: float) -> bool:
        """Whether something was moved into the trash long ago; a folder on probation is not of that kind."""
        if name.startswith(PROBATION):
            return False
        if name.startswith(GONE):
            return True
        with suppress(OSError):
            return now - os.lstat(os.path.join(self._store.trash, name)).st_ctime >= self._trash_s
        return False

    def now(self) -> float:
        """By the storage's own clock. Writes and removes a file. Raises OSError."""
        self._filesystem.make_folders(self._store.trash)
        path = os.path.join(self._store.trash, f".clock.{nonce()}")
        self._filesystem.beat(path, b"")
        try:
            return os.stat(path).st_ctime
        finally:
            os.unlink(path)

    # -- removing -----------------------------------------------------------------------------------

    def clean(self, wait_s: float = CONFIRM_S) -> Cleaned:
        """Remove what may go by two looks, so far apart. Raises OSError."""
        first = self.look(self.now())
        if first.stages or first.attempts or first.probation:
            self._wait(wait_s, "looking a second time")
        found = first.both(self.look(self.now()))
        probation = [*found.probation, *(name for name in map(self._on_probation, found.stages) if name)]
        failpoint("clean.on_probation")
        meter, freed = Meter(), 0
        for _, path in found.attempts:  # takes its time, in which somebody might begin with a stage that was to go
            freed += meter.measure(path).bytes
            self._filesystem.discard(path, self._store.trash)
        if probation:
            self._wait(wait_s, "looking whether somebody has begun to want what is in trash/ now")
        put_back = self._put_back(probation)
        gone = [name for name in map(self._gone, probation) if name]
        failpoint("clean.gone")
        paths = [os.path.join(self._store.trash, name) for name in (*found.trash, *gone)]
        freed += sum(meter.measure(path).bytes for path in paths)
        for path in paths:
            self._filesystem.discard(path, self._store.trash)
        self._forget_aliases()
        return Cleaned(
            stages=tuple(folder_of(name) for name in gone),
            attempts=len(found.attempts),
            trash=len(found.trash),
            put_back=put_back,
            freed=freed - meter.elsewhere,
        )

    def _wait(self, seconds: float, why: str) -> None:
        if seconds:
            self._say(f"{why} in {seconds:.0f} s")
            self._clock.sleep(seconds)

    def _on_probation(self, folder: str) -> str:
        """Move a stage out of the way; its name in the trash, empty if another clean was faster."""
        name = f"{PROBATION}{folder}.{nonce()}"
        self._filesystem.make_folders(self._store.trash)
        try:
            self._filesystem.rename(self._store.stage(folder).path, os.path.join(self._store.trash, name))
        except FileNotFoundError:
            return ""
        failpoint("clean.one_on_probation")
        return name

    def _put_back(self, probation: Sequence[str]) -> tuple[str, ...]:
        """What a run wants after all, and what that is made from: the latter first."""
        references = read_references(self._store, self._filesystem)
        moved = {folder_of(name): name for name in sorted(probation, key=lambda name: len(self._wanted_by(name)))}
        upstream = {folder: upstream_of(self._in_trash(name), self._filesystem) for folder, name in moved.items()}
        upstream = {**upstream, **references.upstream}
        wanted = [folder for folder, runs in references.stages.items() if runs]
        live = live_stages([*wanted, *(folder for folder, name in moved.items() if self._wanted_by(name))], upstream)
        back = []
        for folder in reversed(below_first(live & moved.keys(), upstream)):
            for run in self._wanted_by(moved[folder]) if folder in references.stages else ():
                self._filesystem.create(os.path.join(self._store.stage(folder).wanted, run), b"")
            with suppress(FileNotFoundError, FileExistsError):  # begun again meanwhile: that one stands
                self._filesystem.rename(self._in_trash(moved[folder]).path, self._store.stage(folder).path)
                back.append(folder)
        return tuple(back)

    def _in_trash(self, name: str) -> StageFolder:
        return StageFolder(os.path.join(self._store.trash, name))

    def _wanted_by(self, name: str) -> list[str]:
        """Runs that want a folder on probation."""
        marks = self._filesystem.names(self._in_trash(name).wanted)
        return [run for run in marks if os.path.isdir(self._store.run(run))]

    def _gone(self, name: str) -> str:
        """Decide that a folder will not be put back: its new name in the trash, empty if it was, or is deleted."""
        new = f"{GONE}{name.removeprefix(PROBATION)}"
        with suppress(FileNotFoundError):
            self._filesystem.rename(self._in_trash(name).path, os.path.join(self._store.trash, new))
            failpoint("clean.one_gone")
            return new
        return ""

    def _forget_aliases(self) -> None:
        """Nothing goes on in a folder that is no more."""
        for path, folder in aliases_of(self._store, self._filesystem):
            if not os.path.isdir(self._store.stage(folder).path):
                self._filesystem.discard(path, self._store.trash)


def folder_of(name: str) -> str:
    """The stage folder that has this name in the trash. Pure."""
    return name.partition(".")[2].rpartition(".")[0]


def below_first(folders: Collection[str], upstream: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """These folders, each before what it was made from. Pure."""
    below = {name: {one for one in folders if name in upstream.get(one, ())} for name in sorted(folders)}
    return tuple(TopologicalSorter(below).static_order())


def _is_attempt(name: str) -> bool:
    """Whether an entry beside the shards is `.<shard>.<n>.<nonce>`. Pure."""
    parts = name.split(".")
    return len(parts) >= 4 and not parts[0] and parts[-2].isdigit()
