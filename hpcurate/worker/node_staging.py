"""What a worker copies to its node before its stage processes start: weights, and a packed environment."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from hpcurate.node.place import choose_folder, node_name, own_folder, test_write
from hpcurate.planning.pipeline import Environment
from hpcurate.planning.plan import Plan
from hpcurate.stage_process.messages import NodeSetup
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store
from hpcurate.system.processes import nonce

if TYPE_CHECKING:
    from hpcurate.node.cache import NodeCache
    from hpcurate.node.items import StagedItem


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stage process finds what its node holds for it."""

    weights: dict[str, str] = msgspec.field(default_factory=dict)
    """Model name → folder."""
    env: Environment = Environment()
    """As on this node: with the path of an unpacked prefix, `{store}` and `{node}` filled in."""
    folder: str
    """Of the node's cache: for `setup_on_node`."""


class NodeFault(Exception):
    """The node cannot be used: why."""


class NodeStaging:
    """Copies what a plan names to the node, and holds it there until it is closed."""

    def __init__(self, plan: Plan, submission: str, *, log: Callable[[str], None] = lambda line: None) -> None:
        self._plan, self._submission, self._log = plan, submission, log
        self._cache: NodeCache | None = None
        self._copies, self._no_cache = True, ""
        self._folder: str | None = None
        """Of the node's cache."""

    @classmethod
    def in_place(cls, plan: Plan, submission: str, reason: str, log: Callable[[str], None]) -> NodeStaging:
        """Nothing is copied, for that reason: everything is read where it lies."""
        staging = cls(msgspec.structs.replace(plan, node_local=()), submission, log=log)
        staging._copies, staging._no_cache = False, reason
        return staging

    def stage(self, stop: Callable[[], bool] = lambda: False) -> Place:
        """Where everything is to be read; in the store, with a line that gives the reason, where a node has no room.

        Raises NodeFault.
        """
        folder = self._writable_folder()
        return Place(weights=self._weights(stop), env=self._environment(folder, stop), folder=folder)

    def _writable_folder(self) -> str:
        try:
            if self._copies:
                self._folder, self._no_cache = choose_folder(self._plan.node_local)
            folder = self._folder or own_folder()
            test_write(folder)
        except OSError as error:
            raise NodeFault(f"{error.filename or 'its disk'} cannot be written to: {error.strerror or error}") from None
        return folder

    def close(self) -> None:
        """Let go of it."""
        if self._cache:
            self._cache.close()

    def _weights(self, stop: Callable[[], bool]) -> dict[str, str]:
        found = {}
        for one in self._plan.stage.weights:
            source = os.path.join(Store(self._plan.store).weights, one.folder)
            item = self._staged(f"weights {one.identity}", one.folder, source, stop)
            found.update(dict.fromkeys(one.names, item.path))
        return found

    def _environment(self, folder: str, stop: Callable[[], bool]) -> Environment:
        env = self._plan.stage.env
        if env.container:
            missing = [path for path in env.binds if not os.path.exists(path)]
            if missing:
                raise NodeFault(f"binds: {missing[0]} is missing on it")
            filled = (word.replace("{store}", self._plan.store).replace("{node}", folder) for word in env.python)
            return msgspec.structs.replace(env, python=tuple(filled))
        if env.pack is None or not self._copies:
            return env
        name = os.path.basename(env.pack)
        item = self._staged(f"environment {env.digest}", name, env.pack, stop, packed=True)
        if not item.local:
            return env
        here, there = item.path, str(env.prefix)
        variables = {name: value.replace(there, here) for name, value in env.variables.items()}
        return msgspec.structs.replace(
            env, prefix=here, python=(os.path.join(here, "bin", "python"),), variables=variables
        )

    def _staged(
        self, what: str, name: str, source: str, stop: Callable[[], bool], *, packed: bool = False
    ) -> StagedItem:
        from hpcurate.node.cache import NodeCache  # here: a worker with nothing to copy need not wait for it
        from hpcurate.node.copying import Differs, Stopped
        from hpcurate.node.items import StagedItem

        if self._folder is not None and self._cache is None:
            self._cache = NodeCache(self._folder, quota=self._plan.node_quota, stop=stop, log=self._log)
        try:
            if self._cache is None:
                item = StagedItem(path=source, reason=self._no_cache)
            else:
                item = self._made(self._cache.unpack if packed else self._cache.copy, name, source)
        except Differs as error:
            raise NodeFault(
                f"{what} were copied to it twice and are not what they should be: {error}; if others say the same, the "
                f"files in the store are damaged: fetch them again"
            ) from None
        except (OSError, Stopped) as error:
            item = StagedItem(path=source, reason=str(error) or "the worker is leaving")
        if not item.local:
            self._log(f"{what}: read from shared storage: {item.reason}")
        elif item.copied_files:
            made = NodeSetup(
                path=item.path, copied_files=item.copied_files, copied_bytes=item.copied_bytes, seconds=item.seconds
            )
            self.record_staging(what, made)
        return item

    def _made(self, make: Callable[[str, str], StagedItem], name: str, source: str) -> StagedItem:
        """Made once more where it differs: a flaw in the network or in memory need not be one of the node's disk."""
        from hpcurate.node.copying import Differs

        try:
            return make(name, source)
        except Differs as error:
            self._log(f"{error}; it is copied again")
            return make(name, source)

    def record_staging(self, what: str, made: NodeSetup) -> None:
        """Write down what was made on this node, and what it took; `status` adds it up."""
        self._log(f"{what}: {made.copied_bytes} bytes in {made.seconds:.1f} s")
        record = {"node": node_name(), "what": what, **msgspec.to_builtins(made)}
        path = os.path.join(self._submission, f"brought-{node_name()}-{nonce()}.json")
        with suppress(OSError):  # only `status` wants it
            POSIX.replace(path, json.dumps(record).encode() + b"\n")
