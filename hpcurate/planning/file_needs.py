"""Which shards' files are needed, and by whom: along the lines of lists, through stages whose rows name them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import msgspec

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.store.lists import ShardLine
from hpcurate.store.stats import Committed

__all__ = ["StageFiles", "needed_by_open", "rows_are_enough"]


class StageFiles(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a run, as far as it reads or has files."""

    stage: PlannedStage
    complete: bool
    lines: Mapping[str, ShardLine]
    """Of its lists in the live set, by shard."""
    done: Mapping[str, Committed]
    """What is committed of these."""

    def names_files_of(self, shard: str, folder: str) -> bool:
        """Whether rows of a shard may name files of that stage: also where that is not known, or not yet."""
        found = self.done.get(shard)
        return found is None or found.names_files_of is None or folder in found.names_files_of


class _Reach(msgspec.Struct):
    """Where files of one stage may be read."""

    read: dict[str, dict[str, set[str]]] = msgspec.field(default_factory=dict)
    """Stage → its shard → shards whose files it may read."""
    named: dict[str, dict[str, set[str]]] = msgspec.field(default_factory=dict)
    """Stage folder → its shard → shards whose files its rows may name."""


def rows_are_enough(stages: Sequence[StageFiles], of: StageFiles) -> tuple[str, ...] | None:
    """Shards of a stage whose files have to stay, where those of all others may go; None where all have to.

    They go when every stage that may read them is complete, and no result names them, be it what comes out of the
    pipeline or a parameter of one of its stages. Those that dead letters were made from stay: these may be retried.
    What could not be made again as it was stays, too. `stages`: all of the run, in topological order.
    """
    if not (of.complete and of.stage.deterministic) or _is_result(stages, of) or _is_parameter(stages, of):
        return None
    reach = _reach(stages, of)
    by_name = {one.stage.name: one for one in stages}
    if any(not by_name[name].complete for name in reach.read):
        return None
    results = (
        one for one in stages if _is_parameter(stages, one) or (_is_result(stages, one) and not one.stage.publishes)
    )
    if any(reach.named.get(one.stage.folder) for one in results):
        return None
    kept = (
        found for name, read in reach.read.items() for shard, found in read.items() if by_name[name].done[shard].failed
    )
    return tuple(sorted(set().union(*kept)))


def needed_by_open(
    stages: Sequence[StageFiles], of: StageFiles, open_shards: Mapping[str, Iterable[str]]
) -> dict[str, set[str]]:
    """Stage → shards of `of` whose files its open shards may read; only stages that need some."""
    read = _reach(stages, of).read
    found = {
        name: set().union(*(read[name].get(shard, ()) for shard in shards))
        for name, shards in open_shards.items()
        if name in read
    }
    return {name: shards for name, shards in found.items() if shards}


def _is_result(stages: Sequence[StageFiles], one: StageFiles) -> bool:
    return not any(one.stage.name in other.stage.after for other in stages)


def _is_parameter(stages: Sequence[StageFiles], one: StageFiles) -> bool:
    """Whether a file that its row names is one: whoever works with the parameter again needs it, however much later."""
    return any(one.stage.name in _given_files(other) for other in stages)


def _given_files(one: StageFiles) -> list[str]:
    """The stages whose files its parameters are."""
    return [result.stage for result in one.stage.results if result.is_file]


def _reach(stages: Sequence[StageFiles], of: StageFiles) -> _Reach:
    found = _Reach(named={of.stage.folder: {shard: {shard} for shard in of.lines}})
    folders = {one.stage.name: one.stage.folder for one in stages}
    for one in stages:
        given = [found.named[folders[name]] for name in _given_files(one) if folders[name] in found.named]
        if not (given or any(folders[name] in found.named for name in one.stage.after)):
            continue
        read = found.read[one.stage.name] = _read(one.lines, found.named, set().union(*chain(*map(dict.values, given))))
        named = {shard: above for shard, above in read.items() if one.names_files_of(shard, of.stage.folder)}
        if named or not one.complete:
            found.named[one.stage.folder] = named
    return found


def _read(
    lines: Mapping[str, ShardLine], named: Mapping[str, Mapping[str, set[str]]], given: set[str]
) -> dict[str, set[str]]:
    """Shard of a stage → shards whose files it may read. `given`: by every one, as files are its parameters."""
    found = {
        shard: given.union(*(named[i.stage].get(i.shard, ()) for i in line.inputs if i.stage in named))
        for shard, line in lines.items()
    }
    return {shard: above for shard, above in found.items() if above}
