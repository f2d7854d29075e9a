"""What a worker has brought to its node before its stage processes start: weights, and a packed environment."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate.node.place import choose_folder, node_name, own_folder
from hpcurate.planning.plan import Environment, Plan
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.system.processes import nonce

if TYPE_CHECKING:
    from hpcurate.node.cache import NodeCache
    from hpcurate.node.items import StagedItem


@attrs.define(frozen=True, kw_only=True)
class Place:
    """Where a stage process finds what its node holds for it."""

    weights: dict[str, str] = attrs.field(factory=dict)
    """Model name → folder."""
    env: Environment = Environment()
    """As on this node: an unpacked prefix stands here, `{store}` and `{node}` are filled in."""
    folder: str
    """Of the node's cache: for `setup_on_node`."""


class NodeStaging:
    """Brings what a plan names, and holds it there until it is closed."""

    def __init__(
        self,
        plan: Plan,
        submission: str,
        *,
        inline: bool = False,
        stop: Callable[[], bool] = lambda: False,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._plan, self._submission, self._inline, self._log = plan, submission, inline, log
        self._stop = stop
        self._cache: NodeCache | None = None
        self._folder, self._no_cache = None, "one process in the driver's own"
        if not inline:
            self._folder, self._no_cache = choose_folder(plan.node_local)

    def bring(self) -> Place:
        """Where everything is to be read; in the store, with a line that says why, where a node has no room."""
        folder = self._folder or own_folder()
        return Place(weights=self._weights(), env=self._environment(folder), folder=folder)

    def close(self) -> None:
        """Let go of it."""
        if self._cache:
            self._cache.close()

    def _weights(self) -> dict[str, str]:
        found = {}
        for one in self._plan.weights:
            source = os.path.join(Store(self._plan.store).weights, one.folder)
            brought = self._brought(f"weights {one.identity}", one.folder, source)
            found.update(dict.fromkeys(one.names, brought.path))
        return found

    def _environment(self, folder: str) -> Environment:
        env = self._plan.env
        if env.container:
            filled = (word.replace("{store}", self._plan.store).replace("{node}", folder) for word in env.python)
            return attrs.evolve(env, python=tuple(filled))
        if env.pack is None or self._inline:
            return env
        brought = self._brought(f"environment {env.digest}", os.path.basename(env.pack), env.pack, packed=True)
        if not brought.local:
            return env
        here, there = brought.path, str(env.prefix)
        variables = {name: value.replace(there, here) for name, value in env.variables.items()}
        return attrs.evolve(env, prefix=here, python=(os.path.join(here, "bin", "python"),), variables=variables)

    def _brought(self, what: str, name: str, source: str, *, packed: bool = False) -> StagedItem:
        from hpcurate.node.cache import NodeCache  # here: a worker with nothing to copy need not wait for the import
        from hpcurate.node.copying import Stopped
        from hpcurate.node.items import StagedItem

        if self._folder is not None and self._cache is None:
            self._cache = NodeCache(self._folder, quota=self._plan.node_quota, stop=self._stop, log=self._log)
        try:
            if self._cache is None:
                brought = StagedItem(path=source, reason=self._no_cache)
            else:
                brought = self._cache.unpack(name, source) if packed else self._cache.copy(name, source)
        except (OSError, Stopped) as error:
            brought = StagedItem(path=source, reason=str(error) or "the worker was asked to leave")
        if not brought.local:
            self._log(f"{what}: read from shared storage: {brought.reason}")
        elif brought.copied_files:
            self.bill(what, attrs.asdict(brought))
        return brought

    def bill(self, what: str, brought: dict[str, Any]) -> None:
        """Say what was made on this node, and what it took; `status` adds it up."""
        self._log(f"{what}: {brought['copied_bytes']} bytes in {brought['seconds']:.1f} s")
        told = {"node": node_name(), "what": what, **brought}
        path = os.path.join(self._submission, f"brought-{node_name()}-{nonce()}.json")
        PosixFilesystem().replace(path, json.dumps(told).encode() + b"\n")
