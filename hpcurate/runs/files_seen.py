"""Files of shards in the light of a look: which were freed and are needed again, and which may be freed. Only reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from hpcurate.planning.file_needs import StageFiles, needed_by_open, rows_are_enough
from hpcurate.store.freed import FilesState
from hpcurate.store.stage_store import StageStore

__all__ = ["FilesOf", "FilesSeen"]


class FilesOf(msgspec.Struct, frozen=True, kw_only=True):
    """What a look says of the files of one stage, and of those that it reads."""

    again: tuple[str, ...] = ()
    """Shards that are committed, and are to be done again for their files, which this run needs."""
    ask: tuple[tuple[str, int], ...] = ()
    """Shards of which nobody has said that yet, and the decision that freed their files."""
    undone: tuple[int, ...] = ()
    """Decisions to free files of the stage, which are not carried out; this run needs some of its files."""
    spare: tuple[str, ...] | None = None
    """Nobody in this run needs the files of the stage any more, but for those of these shards. None: somebody does."""
    unsure: bool = False
    """This host does not see all of the log up to where this run said that it needs files; or it was purged."""
    waits: str = ""
    """Why nothing of the stage can be worked on: files that it reads were freed."""
    differs: str = ""
    """A shard whose files cannot be made again: its rows are others now."""

    @property
    def whole(self) -> bool:
        """Whether nothing of the stage is to be done again."""
        return not (self.again or self.ask or self.undone or self.differs)


class FilesSeen:
    """Looks of one process at the files of one run."""

    def __init__(self, store: Callable[[str], StageStore], uses: Mapping[str, int], *, keeps_results: bool) -> None:
        """`uses`: see `Frozen.uses`."""
        self._store, self._keeps_results = store, keeps_results
        self.uses = dict(uses)
        self._settled: set[str] = set()
        """Stage folders in which no decision is open; while this run needs the files there will be no other."""
        self.freed: dict[str, tuple[str, ...]] = {}
        """Stage folder → what stayed, where this process has seen to it."""

    def may_matter(self, stages: Iterable[tuple[str, bool]]) -> bool:
        """Whether `of` may say anything: files of a run that keeps all are seldom freed. `stages`: folder, complete.

        Asked first, as the rest is about each shard of the run.
        """
        given = list(stages)
        if self._keeps_results or all(complete for _, complete in given):
            return self._keeps_results
        return any(
            self._undone(self._store(folder), self.uses.get(folder, 0)) != () or self._store(folder).freed.any
            for folder, _ in given
        )

    def of(self, stages: Sequence[StageFiles]) -> dict[str, FilesOf]:
        """By stage. `stages`: all of the run, in topological order."""
        found = {one.stage.name: FilesOf() for one in stages}
        if not all(one.complete for one in stages):
            self._needed(stages, found)
        if self._keeps_results:
            sure = self._not_done_again(stages, found)
            for one in sure:
                found[one.stage.name] = msgspec.structs.replace(found[one.stage.name], spare=self._spare(sure, one))
        return found

    def _not_done_again(self, stages: Sequence[StageFiles], found: Mapping[str, FilesOf]) -> list[StageFiles]:
        """The stages, none of them complete that may yet be done again for its files: for that it needs those above.

        Which of its shards that are, is not known before the lists below are there.
        """
        sure = [msgspec.structs.replace(one, complete=one.complete and found[one.stage.name].whole) for one in stages]
        for place, one in reversed(list(enumerate(sure))):
            freed = self._store(one.stage.folder).freed
            if one.complete and rows_are_enough(sure, one) is None and freed.any:
                gone = any(state is not FilesState.BACK for _, state in freed.states(one.done).values())
                sure[place] = msgspec.structs.replace(one, complete=not gone)
        return sure

    def _spare(self, stages: Sequence[StageFiles], one: StageFiles) -> tuple[str, ...] | None:
        spare = rows_are_enough(stages, one)
        if spare is None:
            self.freed.pop(one.stage.folder, None)
        return None if self.freed.get(one.stage.folder) == spare else spare

    def _needed(self, stages: Sequence[StageFiles], found: dict[str, FilesOf]) -> None:
        """From the last stage to the first: what is to be done again may need files of what is above."""
        open_shards = {one.stage.name: set(one.lines.keys() - one.done.keys()) for one in stages if not one.complete}
        for one in reversed(stages):
            needed = needed_by_open(stages, one, open_shards) if one.done else {}
            store = self._store(one.stage.folder)
            undone = self._undone(store, self.uses.get(one.stage.folder, 0)) if needed else ()
            if not needed or (undone == () and not store.freed.any):
                continue
            states = store.freed.states(set().union(*needed.values()))
            seen = msgspec.structs.replace(_seen(states, undone or ()), unsure=undone is None)
            found[one.stage.name] = msgspec.structs.replace(seen, waits=found[one.stage.name].waits)
            gone = {shard for shard, (_, state) in states.items() if state is not FilesState.BACK}
            for name, shards in needed.items():
                if undone != () or shards & gone:
                    why = f"{name}: waits for files of {one.stage.name}, which were freed and are made again"
                    found[name] = msgspec.structs.replace(found[name], waits=why)
            if redone := {*seen.again, *(shard for shard, _ in seen.ask)}:
                open_shards.setdefault(one.stage.name, set()).update(redone)

    def _undone(self, store: StageStore, since: int) -> tuple[int, ...] | None:
        """Decisions that are not carried out; None where this host does not see all that stands before our own entry.

        After that there is no other while this run needs the files.
        """
        folder = store.folder.path
        if folder in self._settled or not since:
            return ()
        if len(store.uses.read()) < since:
            return None
        undone = tuple(store.uses.open_decisions())
        if not undone:
            self._settled.add(folder)
        return undone


def _seen(states: Mapping[str, tuple[int, FilesState]], undone: tuple[int, ...]) -> FilesOf:
    ordered = sorted(states.items())
    return FilesOf(
        again=tuple(shard for shard, (_, state) in ordered if state is FilesState.AGAIN),
        ask=tuple((shard, number) for shard, (number, state) in ordered if state is FilesState.FREED),
        undone=undone,
        differs=next((shard for shard, (_, state) in ordered if state is FilesState.DIFFERS), ""),
    )
