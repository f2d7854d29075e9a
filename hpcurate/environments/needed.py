"""What `hpcurate install` builds: an environment that a pipeline names and a store does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from hpcurate.environments.build import build
from hpcurate.environments.files import EnvFile
from hpcurate.environments.locking import lock
from hpcurate.environments.pack import pack
from hpcurate.environments.pixi import find_env

Echo = Callable[[str], None]


def provide_env(env: str, folders: Iterable[Path], store: str, echo: Echo, *, to_node: bool = False) -> str:
    """Lock it unless it is, build it unless it is, pack it if asked; its prefix. Raises ConfigError or StoreError."""
    found = find_env(env, folders)
    if isinstance(found, EnvFile) and not found.lock.exists():
        lock(found, echo)
    prefix = build(found, store, echo)
    if to_node:
        pack(prefix, store, echo)
    return prefix
