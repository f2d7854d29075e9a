"""`hpcurate envs list|lock|build|pack|check|remove`: the environments of stages."""

from __future__ import annotations

import argparse
import os

from hpcurate.cli.terminal import say, show, table
from hpcurate.cli.verbs.common import ending_at_once, store_parser, store_path
from hpcurate.environments.build import is_built, prefix_of, remove
from hpcurate.environments.files import Buildable, EnvFile, env_folders, env_names
from hpcurate.environments.locking import lock
from hpcurate.environments.needed import provide_env
from hpcurate.environments.pack import is_packed, pack, pack_of
from hpcurate.environments.pixi import PIXI, find_env
from hpcurate.errors import ConfigError
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store


def parser() -> argparse.ArgumentParser:
    """See `hpcurate envs --help`."""
    made = store_parser("envs", "environments of stages, from envs/NAME.yml or a pixi.lock")
    made.add_argument("action", choices=("list", "lock", "build", "pack", "check", "remove"), help="what to do")
    made.add_argument(
        "name",
        nargs="*",
        help="of envs/NAME.yml, or pixi:PROJECT[:ENVIRONMENT]; pack: also a conda prefix; check: also any value of "
        "env=, or the arguments of a run (+pipeline=… input=…) to check each of its stages",
    )
    made.add_argument("--on-node", action="store_true", help="check: in a job with the stage's own sbatch options")
    return made


def verb(argv: list[str]) -> int:
    """Do what is asked; the exit status."""
    return ending_at_once(lambda: _verb(argv))


def _verb(argv: list[str]) -> int:
    options = parser().parse_intermixed_args(argv[1:])
    if options.action == "list":
        return _list(options)
    if not options.name:
        raise ConfigError(
            f"envs {options.action}: name an environment: {', '.join(env_names(env_folders())) or 'there is none'}"
        )
    if options.action == "check":
        from hpcurate.cli.env_check import check

        words = [*options.name, *([f"site={options.site}"] if options.site else [])]
        return check(words, options.store, on_node=options.on_node)
    actions = {"lock": _lock, "build": _build, "pack": _pack, "remove": _remove}
    for name in options.name:
        actions[options.action](name, options)
    return 0


def _list(options: argparse.Namespace) -> int:
    folders, store = env_folders(), store_path(options)
    rows = [_row(find_env(name, folders), store) for name in options.name or env_names(folders)]
    show(table(("name", "python and packages", "state"), rows))
    return 0


def _row(env: Buildable, store: str) -> tuple[str, ...]:
    try:
        prefix = prefix_of(env, store)
        state = f"built: {prefix}" if is_built(prefix) else "locked"
        state += ", packed" if is_built(prefix) and is_packed(pack_of(prefix, store)) else ""
    except ConfigError:
        state = "changed since it was locked" if env.lock.exists() else "not locked"
    packages = ", ".join([*env.dependencies, *env.pip])[:60] if isinstance(env, EnvFile) else str(env.lock)
    return (env.name, packages, state)


def _lock(name: str, options: argparse.Namespace) -> None:
    print(lock(_file(name), say))


def _file(name: str) -> EnvFile:
    env = find_env(name, env_folders())
    if not isinstance(env, EnvFile):
        raise ConfigError(f"envs lock {name}: pixi writes its own lock file; type `pixi lock` in {env.lock.parent}")
    return env


def _build(name: str, options: argparse.Namespace) -> None:
    print(provide_env(name, env_folders(), store_path(options), say))


def _pack(name: str, options: argparse.Namespace) -> None:
    store = store_path(options)
    is_prefix = ("/" in name or name.startswith("~")) and not name.startswith(PIXI)
    prefix = name if is_prefix else _built(name, store)
    print(pack(prefix, store, say))


def _built(name: str, store: str) -> str:
    prefix = prefix_of(find_env(name, env_folders()), store)
    if not is_built(prefix):
        raise ConfigError(f"{name}: not built in this store; type `hpcurate envs build {name} --store {store}`")
    return prefix


def _remove(name: str, options: argparse.Namespace) -> None:
    store = store_path(options)
    prefix = prefix_of(find_env(name, env_folders()), store)
    packed = pack_of(prefix, store)
    there = remove(prefix, store)
    if os.path.isdir(packed):
        POSIX.discard(packed, Store.at(store).trash)
        there.append(packed)
    for path in there:
        print(f"{name}: {path} removed")
    if not there:
        print(f"{name}: not built in this store")
