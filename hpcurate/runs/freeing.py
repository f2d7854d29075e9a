"""Giving up files on purpose (`keep=results`), and asking for them again. Each step may be taken by several at once."""

from __future__ import annotations

from collections.abc import Iterable

from hpcurate.failures import Ending
from hpcurate.runs.folder import Run
from hpcurate.store.claims import Latest
from hpcurate.store.freed import FilesState
from hpcurate.store.layout import fan_of
from hpcurate.store.stage_store import StageStore
from hpcurate.store.uses import FILES, ROWS, Use, decision

__all__ = ["KEEPS", "ask_for_files", "carry_out", "free_files", "needs_files"]

KEEPS = ("all", "results")
FREED = "it was committed; its files were freed, and are needed again"


def needs_files(store: StageStore, run: str) -> int:
    """From here on nobody frees files of the stage: what was decided before is seen, see `FilesOf.undone`.

    The number of the entry: each call of a run makes one, so that what a gate of the call before does later counts no
    more.
    """
    return store.uses.add(lambda entries: Use(run=run, use=FILES))


def free_files(store: StageStore, run: Run, since: int, lists: tuple[str, ...], kept: tuple[str, ...]) -> int:
    """Rows are enough for this run; where they are for all, files of the shards are freed. How many lost theirs.

    `since`: the entry with which this call of the run said that it needs them; of a later call nothing is known here.
    """
    own = Use(run=run.name, use=ROWS, lists=lists, kept=kept)

    def unless_said(entries: tuple[Use, ...]) -> Use | None:
        later = [entry for entry in entries[since:] if entry.run == run.name]
        return None if not since or later[-1:] == [own] or any(entry.use == FILES for entry in later) else own

    store.uses.add(unless_said)
    shards = {shard for name in lists for shard in _shards(store, name)} - set(kept)
    again = any(state is FilesState.BACK for _, state in store.freed.states(shards).values())

    def there(name: str) -> bool:
        return run.filesystem.stamp(run.store.run(name)) != 0

    store.uses.add(lambda entries: decision(entries, store.wanted_by(), there, again=again))
    return sum(carry_out(store, number) for number in store.uses.open_decisions())


def carry_out(store: StageStore, number: int) -> int:
    """Move away what a decision says, and write down that this is done. How many shards it was about."""
    entry = store.uses.read()[number - 1]
    shards = sorted({shard for name in entry.lists for shard in _shards(store, name)}.difference(entry.kept))
    states = store.freed.states(shards)
    moved = (number, FilesState.FREED)  # and maybe not deleted
    todo = [shard for shard in shards if (state := states.get(shard, moved))[0] < number or state == moved]
    for shard in todo:
        store.freed.free(shard, number)
    store.uses.mark_done(number)
    return len(todo)


def ask_for_files(store: StageStore, shards: Iterable[tuple[str, int]]) -> None:
    """Have shards done again, each with the decision that freed its files.

    The attempts that made them are over, whatever their processes do: the next ones may begin.
    """
    won = [shard for shard, number in shards if store.freed.ask(shard, number)]
    latest: dict[str, Latest] = {}
    for fan in sorted({fan_of(shard) for shard in won}):
        latest |= store.claims.latest(fan)
    for shard in won:
        found = latest.get(shard)
        claim = store.claims.read(shard, found.attempt) if found and found.ending is None else None
        if claim is not None:
            store.claims.end(claim, Ending.LOST, FREED)


def _shards(store: StageStore, name: str) -> Iterable[str]:
    return [line.id for line in store.lists.read(name) or ()]
