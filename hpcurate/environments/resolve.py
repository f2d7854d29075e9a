"""What a stage's `env` means: a name of `envs/`, a pixi project, a prefix, a container, a command, or nothing."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hpcurate.environments.binds import Bind, mounts
from hpcurate.environments.build import activation_variables, is_built, prefix_of
from hpcurate.environments.pack import is_packed, pack_of
from hpcurate.environments.pixi import PIXI, find_env
from hpcurate.environments.runtime import PythonFacts, inspect_python, provide_runtime, provide_runtimes
from hpcurate.errors import ConfigError, StoreError
from hpcurate.planning.missing import Need, NotInstalled
from hpcurate.planning.pipeline import Environment
from hpcurate.store.layout import Store

CONTAINERS: dict[str, tuple[str, ...]] = {
    "apptainer": ("apptainer", "exec", "--bind", "{binds}", "{image}", "python3"),
    "singularity": ("singularity", "exec", "--bind", "{binds}", "{image}", "python3"),
    "charliecloud": ("ch-run", "--bind={bind}", "{image}", "--", "python3"),
    "enroot": ("enroot", "start", "--mount={bind}", "{image}", "python3"),
    "pyxis": (
        "srun", "--overlap", "--ntasks=1", "--container-image={image}", "--container-mounts={binds}", "python3",
    ),
}  # fmt: skip
"""How each runtime starts a Python in an image that sees the store, the node's folder and what is declared (`binds`).
GPUs: by variables that the stage process is started with (`APPTAINER_NV`), or by the runtime's own hooks (enroot,
Pyxis)."""
ONLY_IN_JOBS = ("srun",)
"""Commands that are never tried on the login node: they would start a job."""


class Environments:
    """Resolves the environments of a pipeline on one store, each once."""

    def __init__(self, store: str, folders: Sequence[Path], binds: Sequence[Bind] = ()) -> None:
        self._store = Store.at(store).root
        self._folders = list(folders)
        self._binds = binds
        self._inspected: dict[tuple[str, ...], PythonFacts | None] = {}
        self._resolved: dict[tuple[str, bool], Environment] = {}

    def __call__(self, env: Any, to_node: bool) -> Environment:
        """See `EnvironmentOf`; each is resolved once. Raises ConfigError with what to type."""
        key = (repr(env), to_node)
        if key not in self._resolved:
            self._resolved[key] = self._resolve(env, to_node)
        return self._resolved[key]

    def _resolve(self, env: Any, to_node: bool) -> Environment:
        if env is None:
            if to_node:
                raise ConfigError(
                    "stage_to_node: the current environment cannot be packed; name a conda environment, env="
                )
            return Environment()
        if not isinstance(env, str):
            return self._command(tuple(map(str, env)), to_node)
        if env.startswith(PIXI):
            return self._named(env, to_node)
        kind, _, image = env.partition(":")
        if kind in CONTAINERS and image:
            path = os.path.abspath(os.path.expanduser(image))
            image = path if os.path.exists(path) else image  # else a name that the runtime resolves, such as docker://…
            return self._command(tuple(word.replace("{image}", image) for word in CONTAINERS[kind]), to_node)
        if len(env.split()) > 1 and not os.path.isdir(os.path.expanduser(env)):
            return self._command(tuple(shlex.split(env)), to_node)
        if "/" in env or env.startswith("~"):
            return self._prefix(env, to_node)
        return self._named(env, to_node)

    def provide(self, echo: Callable[[str], None]) -> None:
        """Fetch the runtime for each Python that lacks it. Raises StoreError."""
        for facts in self._inspected.values():
            if facts is None:
                try:
                    provide_runtimes(self._store, echo)
                except StoreError as error:
                    echo(f"{error}; the container must contain attrs and msgspec itself then")
            else:
                provide_runtime(self._store, facts, echo)

    def _named(self, env: str, to_node: bool) -> Environment:
        found = find_env(env, self._folders)
        prefix = prefix_of(found, self._store) if found.lock.exists() else ""
        if not prefix or not is_built(prefix):
            command = shlex.join(["hpcurate", "envs", "build", env, "--store", self._store])
            raise NotInstalled({f"env={env}: is not built in this store": ()}, [Need("env", env, command, to_node)])
        return self._of_prefix(prefix, os.path.basename(prefix), env if to_node else None)

    def _prefix(self, env: str, to_node: bool) -> Environment:
        prefix = os.path.abspath(os.path.expanduser(env))
        python = os.path.join(prefix, "bin", "python")
        if not os.path.exists(python):
            raise ConfigError(
                f"env={env!r}: expected a prefix that holds bin/python (conda, mamba, venv); {python} is missing"
            )
        self._inspected[(python,)] = inspect_python((python,), f"env={env}")
        environment = self._of_prefix(prefix, prefix, prefix if to_node else None)
        return msgspec.structs.replace(environment, variables=activation_variables(prefix))

    def _of_prefix(self, prefix: str, digest: str, packed: str | None) -> Environment:
        pack = None
        if packed is not None:
            pack = pack_of(prefix, self._store)
            if not is_packed(pack):
                command = shlex.join(["hpcurate", "envs", "pack", packed, "--store", self._store])
                lack = f"stage_to_node: {packed} is not packed in this store"
                raise NotInstalled(
                    {lack: ()}, [Need("prefix" if packed == prefix else "env", packed, command, to_node=True)]
                )
        return Environment(python=(os.path.join(prefix, "bin", "python"),), prefix=prefix, pack=pack, digest=digest)

    def _command(self, command: tuple[str, ...], to_node: bool) -> Environment:
        if not command:
            raise ConfigError(
                "env=[]: expected a command that ends with a Python, e.g. [apptainer, exec, IMAGE, python3]"
            )
        if to_node:
            raise ConfigError(f"stage_to_node: only conda prefixes can be packed, not {command[0]}")
        what, named = f"env={' '.join(command)}", command
        try:
            command = self._with_mounts(command)
        except ConfigError as error:
            raise ConfigError(f"{what}: binds: {error}") from None
        folder = self._store  # or the nearest folder that exists: nothing is made before a run starts
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        here = tuple(word.replace("{store}", folder).replace("{node}", folder) for word in command)
        if os.path.basename(command[0]) in ONLY_IN_JOBS or shutil.which(command[0]) is None:
            self._inspected[here] = None
        else:
            self._inspected[here] = inspect_python(here, what)
        digest = hashlib.sha256("\0".join(named).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        sources = tuple(bind.source for bind in self._binds)
        return Environment(python=command, container=True, digest=digest, binds=sources)

    def _with_mounts(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """The command with the words that mount what is declared; all of that is here. Raises ConfigError."""
        missing = [bind.source for bind in self._binds if not os.path.exists(bind.source)]
        if missing:
            raise ConfigError(f"{missing[0]} is missing on this machine; name what every node has")
        return mounts(command, self._binds)


__all__ = ["CONTAINERS", "Environments"]
