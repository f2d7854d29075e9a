"""`hpcurate envs list|lock|build|check|remove`: the environments of stages."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys

from hpcurate.cli.dry import table
from hpcurate.cli.launch import say
from hpcurate.cli.places import find_store
from hpcurate.environments.build import build, is_built, lock, look_into, prefix_of
from hpcurate.environments.files import EnvFile, env_folders, env_names, read_env
from hpcurate.errors import ConfigError, UserError
from hpcurate.store.layout import Store


def verb(argv: list[str]) -> int:
    """Do one of them; the exit status.

    Threads of the solver's library may still run when the interpreter ends, and have been seen to abort it:
    where it was loaded the process leaves at once, everything being written.
    """
    try:
        status = _verb(argv)
    except UserError as error:
        if "rattler" not in sys.modules:
            raise
        say(f"hpcurate: {error}")
        status = 2
    if "rattler" in sys.modules:
        sys.stdout.flush()
        os._exit(status)
    return status


def _verb(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="hpcurate envs", description="environments of stages, from envs/NAME.yml")
    parser.add_argument("action", choices=("list", "lock", "build", "check", "remove"))
    parser.add_argument("name", nargs="*", help="of envs/NAME.yml")
    parser.add_argument("--store", help="default: HPCURATE_STORE, the site profile's, then the last one used")
    options = parser.parse_args(argv[1:])
    folders = env_folders()
    if options.action == "list":
        names = options.name or env_names(folders)
        store = find_store(options.store)
        print(
            "\n".join(
                table(("name", "python and packages", "state"), [_row(read_env(n, folders), store) for n in names])
            )
        )
        return 0
    if not options.name:
        raise ConfigError(f"envs {options.action}: name one of {', '.join(env_names(folders)) or 'none'}")
    for name in options.name:
        _do(options.action, read_env(name, folders), options)
    return 0


def _row(env: EnvFile, store: str) -> tuple[str, ...]:
    try:
        prefix = prefix_of(env, store)
        state = f"built: {prefix}" if is_built(prefix) else "locked"
    except ConfigError:
        state = "changed since it was locked" if env.lock.exists() else "not locked"
    return (env.name, ", ".join([*env.dependencies, *env.pip])[:60], state)


def _do(action: str, env: EnvFile, options: argparse.Namespace) -> None:
    if action == "lock":
        print(lock(env, say))
        return
    store = find_store(options.store)
    if action == "build":
        if not env.lock.exists():
            lock(env, say)
        print(build(env, store, say))
        return
    prefix = prefix_of(env, store)
    if not is_built(prefix):
        print(f"{env.name}: is not built here; next: hpcurate envs build {env.name}")
    elif action == "check":
        facts = look_into(os.path.join(prefix, "bin", "python"), env.name)
        print(f"{env.name}: Python {'.'.join(map(str, facts.version))} starts in {prefix}")
    else:
        trash = os.path.join(Store(os.path.dirname(os.path.dirname(prefix))).trash, f"env-{secrets.token_hex(4)}")
        os.makedirs(os.path.dirname(trash), exist_ok=True)
        os.rename(prefix, trash)
        shutil.rmtree(trash, ignore_errors=True)
        print(f"{env.name}: {prefix} removed")
