"""What the rounds of a run tell of nodes, read once from each that is over. Only reads."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.plan import began, submission_name
from hpcurate.runs.nodes import Nodes, RoundTold, bad_nodes, setups_failed
from hpcurate.runs.reconcile import Phase, RoundView, StageView
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.reports import read_reports
from hpcurate.store.stage_store import StageStore


class NodesSeen:
    """Of one run. What is read of a round that is over does not change."""

    def __init__(self, filesystem: Filesystem, run: str, path: str, usable: Mapping[str, int]) -> None:
        self._filesystem, self._run, self._path, self._usable = filesystem, run, path, usable
        self._known: dict[tuple[str, int], RoundTold] = {}

    def told(self, stage: PlannedStage, store: StageStore, view: StageView) -> list[RoundTold]:
        """By each round of the run since its user's latest call that is over."""
        own = [r for r in view.rounds if r.number > view.forgiven and r.run == self._run]
        over = [r for r in own if r.phase is Phase.OVER and r.over_recorded]
        return [self._told(stage, store, found) for found in over]

    def of(self, stage: PlannedStage, told: Mapping[str, list[RoundTold]]) -> Nodes:
        """What that means for a stage; `told` by all of them."""
        setups, times = setups_failed(told.get(stage.name, []))
        bad = bad_nodes(told.values())
        unbegun = tuple(node for one in told.get(stage.name, []) for node in one.failed)
        usable = self._usable.get(stage.name, 0)
        return Nodes(bad=bad, setups=setups, rounds_of_setups=times, unbegun=unbegun, usable=usable)

    def _told(self, stage: PlannedStage, store: StageStore, found: RoundView) -> RoundTold:
        key = stage.name, found.number
        if key not in self._known:
            path = os.path.join(self._path, "submissions", submission_name(*key))
            ends = store.rounds.endings(found.number)
            begun = began(path, self._filesystem) if any(end.ending is None for end in ends.values()) else set()
            self._known[key] = RoundTold(
                reports=tuple(read_reports(self._filesystem, path)),
                ends=ends,
                begun=frozenset(id for id in ends if _began(id, found.jobs.ids, begun)),
                others_began=bool(begun),
            )
        return self._known[key]


def _began(element: str, arrays: tuple[str, ...], begun: set[int]) -> bool:
    """Whether the worker of an element did; of a further array, whose numbers go on from the first, nobody can say."""
    array, _, task = element.partition("_")
    return not task.isdigit() or array not in arrays[:1] or int(task) in begun
