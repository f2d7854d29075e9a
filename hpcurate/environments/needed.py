"""What `hpcurate install` builds: the environments that a pipeline names and a store does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hpcurate.environments.build import build, is_built, prefix_of
from hpcurate.environments.files import Buildable, EnvFile
from hpcurate.environments.locking import lock
from hpcurate.environments.pack import is_packed, pack, pack_of
from hpcurate.environments.pixi import find_env
from hpcurate.environments.resolve import Environments
from hpcurate.planning.pipeline import Environment

Echo = Callable[[str], None]


class NeededEnvironments(Environments):
    """Lists what is not built or not packed where `Environments` refuses it."""

    def __init__(self, store: str, folders: Sequence[Path]) -> None:
        super().__init__(store, folders)
        self.missing: dict[str, bool] = {}
        """Each by its name as written → whether it is to be packed, too."""

    def _named(self, env: str, to_node: bool) -> Environment:
        found = find_env(env, self._folders)
        if found.lock.exists() and self._is_ready(found, to_node):
            return super()._named(env, to_node)
        self.missing[env] = to_node or self.missing.get(env, False)
        return Environment()

    def _is_ready(self, env: Buildable, to_node: bool) -> bool:
        prefix = prefix_of(env, self._store)
        return is_built(prefix) and (not to_node or is_packed(pack_of(prefix, self._store)))


def provide_env(env: str, folders: Iterable[Path], store: str, echo: Echo, *, to_node: bool = False) -> str:
    """Lock it unless it is, build it unless it is, pack it if asked; its prefix. Raises ConfigError or StoreError."""
    found = find_env(env, folders)
    if isinstance(found, EnvFile) and not found.lock.exists():
        lock(found, echo)
    prefix = build(found, store, echo)
    if to_node:
        pack(prefix, store, echo)
    return prefix
