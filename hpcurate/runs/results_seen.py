"""Results in the light of a look: what the gather stages returned that other stages' parameters are. Only reads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.results import PlannedResult, digest_of, known, value_of
from hpcurate.results import Result
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import Committed

__all__ = ["ResultsSeen", "Unusable", "with_results"]


Values = dict[Result, Any]


class Unusable(Exception):
    """A result that no stage can run with: why, and what a user can do."""


def value_in(one: PlannedResult, rows: Sequence[Mapping[str, Any]]) -> Any:
    """The value, of all tasks that its stage has returned. Raises Unusable."""
    if len(rows) != 1:
        why = f"{one.stage} returned {len(rows)} tasks, and a result is a field of just one"
    else:
        try:
            return value_of(one, rows[0])
        except ValueError as error:
            why = f"{one.stage} returned one task whose {error}"
    raise Unusable(
        f"{one.key} is {one.result}: {why}; give the parameter a value, or correct {one.stage} and type the run's "
        f"command with rerun={one.stage}"
    )


def read_row(store: StageStore, shard: Committed) -> dict[str, Any]:
    """The one row of a shard. Raises Unusable for one that cannot be read."""
    path = os.path.join(store.folder.shard(shard.shard), "tasks.jsonl")
    try:
        (line,) = store.filesystem.read(path).splitlines()
        row: dict[str, Any] = json.loads(line)
    except (OSError, ValueError) as error:
        raise Unusable(f"{path}: cannot be read: {error}; `hpcurate verify` looks closer") from None
    return row


class ResultsSeen:
    """Values that stages of a run get from others. What has been read stays: a shard is committed once."""

    def __init__(
        self, store: Callable[[str], StageStore], done: Callable[[str], list[Committed]], pipeline: Pipeline
    ) -> None:
        """`done`: what is committed of a stage, by its name, in this look."""
        self._store, self._done, self._pipeline = store, done, pipeline
        self._rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        """(stage folder, shard, nonce) → its one row."""
        self._values: dict[str, Values | Unusable] = {}

    def next_look(self) -> None:
        """What was returned may be something else from here on."""
        self._values.clear()

    def of(self, stage: PlannedStage) -> Values | Unusable:
        """For which its lists are; or why it can have none. The stages whose results these are have to be complete."""
        if stage.name not in self._values:
            try:
                self._values[stage.name] = {one.result: value_in(one, self._returned(one)) for one in stage.results}
            except Unusable as error:
                self._values[stage.name] = error
        return self._values[stage.name]

    def known(self, stage: PlannedStage) -> Values:
        """The same, as far as this look knows."""
        found = self._values.get(stage.name, {})
        return {} if isinstance(found, Unusable) else found

    def _returned(self, one: PlannedResult) -> list[dict[str, Any]]:
        """All that the stage has returned; where that is not one row, none is read."""
        shards, folder = [s for s in self._done(one.stage) if s.tasks_out], self._pipeline.stage(one.stage).folder
        rows = sum(shard.tasks_out for shard in shards)
        if rows != 1:
            return [{}] * rows
        key = (folder, shards[0].shard, shards[0].nonce)
        if key not in self._rows:
            self._rows[key] = read_row(self._store(folder), shards[0])
        return [self._rows[key]]


def with_results(stage: PlannedStage, values: Mapping[Result, Any], stages: str) -> PlannedStage:
    """The stage as the workers of a round have it, its results known. Pure.

    What it makes on a node, and the server that it runs there, may follow from them. `stages`: the folder of the
    store's stages, where the files among them lie.
    """
    if not values:
        return stage
    digest = digest_of(values)[:8]
    given = {**values, **{one.result: os.path.join(stages, values[one.result]) for one in stage.results if one.is_file}}
    return msgspec.structs.replace(
        stage,
        spec=msgspec.structs.replace(stage.spec, parameters=known(stage.spec.parameters, given)),
        node_setup=f"{stage.node_setup}-{digest}",
        node_server=f"{stage.node_server}-{digest}" if stage.node_server else "",
    )
