"""Bugs, who fixes them, and people who type `hpcurate retry`: at any moment, beside each other, and beside anything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate.runs.folder import Frozen, Run, open_store
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.retry import NothingChosen, Retry, chosen, new_lines, write_lists
from hpcurate.runs.start import freeze_run
from hpcurate.runs.state import RunState
from hpcurate.store.layout import Store, base
from hpcurate.world import World
from tests.simulation.filesystem import Disk, Node
from tests.simulation.groups import stages_with_bugs
from tests.simulation.kernel import Process, Violation

if TYPE_CHECKING:
    from tests.simulation.episode import Episode

ALL = Retry(kind="exception")
"""All that may come right: a task that kills its stage process would do so again."""
BESIDE_S = 20.0
"""Within so many seconds somebody types something else."""
MOST_RETRIES = 6
"""So often a user retries what is left before it counts as not getting anywhere: by then every bug is fixed."""


@attrs.define(eq=False)
class Kept:
    """Watches what the runs of a store have retried: it stays theirs, and is theirs alone."""

    disk: Disk
    store: str
    _ever: dict[str, set[tuple[str, str]]] = attrs.field(factory=dict)
    """Run → (stage folder, list of retries) that it has frozen."""

    def __attrs_post_init__(self) -> None:
        self.disk.hooks.append(self.heard)

    def heard(self, what: str, names: list[str], node: Node | None) -> None:
        """One change: see `Truth.heard`."""
        if names[1] != self.store[1:] or len(names) < 5 or names[2] != "runs" or node is None:
            return
        if names[4] == "pipeline.json":
            self._frozen(names[3])
        elif len(names) == 7 and names[6] == "plan.json":
            self._submitted(names[3], json.loads(node.data))

    def _frozen(self, run: str) -> None:
        ever, now = self._ever.setdefault(run, set()), retries_of(self.disk, f"{self.store}/runs/{run}")
        if ever - now:
            raise Violation(f"I3: {run} is frozen without the retries {sorted(ever - now)}")
        ever |= now

    def _submitted(self, run: str, plan: Mapping[str, Any]) -> None:
        """A list of retries is its stage's, or derived from one of a stage above."""
        own = {name for _, name in retries_of(self.disk, f"{self.store}/runs/{run}")}
        for name in plan["lists"]:
            if name.startswith("retry.") and base(name) not in own:
                raise Violation(f"I3: {run} submits {name} of {plan['stage']['name']}, which it has not frozen")


def retries_of(disk: Disk, run: str) -> set[tuple[str, str]]:
    """(stage folder, list) of all that a run has frozen."""
    nodes = [
        disk.find(f"{run}/pipeline.json"),
        *(disk.find(f"{run}/retries/{n}") for n in disk.listed(f"{run}/retries")),
    ]
    found = [json.loads(node.data)["retries"] for node in nodes if node is not None and node.data]
    return {(folder, name) for one in found for folder, names in one.items() for name in names}


def schedule(episode: Episode, until_s: float) -> None:
    """When bugs are fixed, and retries typed."""
    site, dice, stages = episode.site, episode.dice, stages_with_bugs(episode.plan.stages)
    for name in episode.buggy:
        bugs = site.bugs.setdefault(dice.choice(stages), set())
        bugs.add(name)
        episode.kernel.at(dice.uniform(until_s / 8, until_s), lambda bugs=bugs, name=name: bugs.discard(name))  # type: ignore[misc]
    for when in sorted(dice.uniform(until_s / 8, until_s) for _ in range(episode.plan.retries)):
        episode.kernel.at(when, lambda: _somebody_retries(episode))


def _somebody_retries(episode: Episode) -> None:
    dice, plan = episode.dice, episode.plan
    some = [ALL, ALL, Retry(kind="exception", stage=dice.choice(plan.stages)), Retry(reason=f"{episode.buggy[0]}.")]
    which, other, beside = dice.choice(some), dice.choice(some), dice.choice(("", "", "retry", "run", "cancel"))
    episode.call("retry", lambda process: type_retry(episode, process, which))
    after = dice.uniform(0, dice.choice((1.0, BESIDE_S)))
    if beside == "retry":
        episode.call("retry'", lambda process: type_retry(episode, process, other), after=after)
    elif beside == "run":
        episode.call("run beside", episode.type_run, after=after)
    elif beside:
        episode.call("cancel beside", episode.type_cancel, after=after)


def type_retry(
    episode: Episode, process: Process, which: Retry = ALL, nothing: Callable[[str], None] = lambda said: None
) -> RunState | None:
    """`hpcurate retry`, as `start_retry` does it; None if it ended with an error. `nothing` hears that none is left."""

    def retry(world: World) -> RunState | None:
        run = _run(episode, process, world)
        before, started = run.frozen(), episode.kernel.now
        open_store(process.store, world.filesystem)
        observer, stages = RunLooker(run, make_launcher(before.launcher), world).observer, before.pipeline.stages
        try:
            found = chosen(observer, stages, observer.look(), which)
        except NothingChosen as error:
            nothing(str(error))
            raise
        lists = {stage.folder: new_lines(stage, found[stage.name]) for stage in stages if stage.name in found}
        episode.kernel.note("tried again", {name: len(dead) for name, dead in found.items()})
        retries = write_lists(observer.store, lists)
        frozen = Frozen(
            pipeline=before.pipeline, source_lists=run.source_lists(), launcher=before.launcher, most=before.most, code="",
            retries=retries, output=run.output,
        )  # fmt: skip
        freeze_run(run, frozen, episode.kernel.note, world)
        return episode.hand_over(process, run, frozen, started, world)

    return episode.typed(process, retry)


def _run(episode: Episode, process: Process, world: World) -> Run:
    """The run of the pipeline that the user means, in the store. Raises StoreError, or NothingChosen."""
    store, wanted = Store(process.store), episode.pipeline().stages[-1].fingerprint
    names = sorted(name for name in world.filesystem.names(store.runs) if name[0].isdigit())
    runs = [Run(store, name, world.filesystem) for name in names]
    for run in runs:
        if run.frozen().pipeline.stages[-1].fingerprint == wanted:
            return run
    raise NothingChosen("there is no such run")


def retry_at_last(episode: Episode, store: str) -> None:
    """All that is left is retried until nothing is: no bug is left now, and nothing goes wrong."""
    nothing: list[str] = []
    for number in range(MOST_RETRIES):
        host = episode.site.login[number % len(episode.site.login)]
        call = episode.call(
            f"last retry{number}", lambda p: type_retry(episode, p, nothing=nothing.append), host=host, store=store
        )
        episode.move(episode.kernel.now + 8000, lambda call=call: not call.alive)  # type: ignore[misc]
        if nothing:
            return
        episode.come_to_an_end()
    raise Violation(f"I14: retried {MOST_RETRIES} times, and there are dead letters that could come right")
