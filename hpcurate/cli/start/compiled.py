"""A run as a folder of jobs that its user submits: what is in it, and what the first of these jobs does.

`python -m hpcurate.cli.start.compiled FOLDER`: start the run of a compiled folder, of exactly the configuration and
code that are there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import msgspec

from hpcurate.cli.start.compose import dump, frozen_config
from hpcurate.cli.start.launch import Listing
from hpcurate.cli.start.overrides import Typed
from hpcurate.cli.start.request import request_of, settings_of
from hpcurate.cli.start.settings import Settings
from hpcurate.cli.start.steps import of_frozen_code
from hpcurate.cli.terminal import say, say_error
from hpcurate.config_files import shipped
from hpcurate.digest import digest
from hpcurate.errors import ConfigError, UserError
from hpcurate.masks import mask
from hpcurate.runs.code import code_name, files_to_copy, merge_packages
from hpcurate.runs.commands import of_store, quoted
from hpcurate.runs.compiled import Compiled, differing, read_compiled
from hpcurate.runs.launcher import Compiler, Launcher, make_launcher
from hpcurate.runs.prepare import Prepared, Request, prepare
from hpcurate.runs.start import start
from hpcurate.runs.waiting_jobs import WaitingJobs
from hpcurate.site_files import load_site
from hpcurate.store.access import keep_private
from hpcurate.store.layout import Store
from hpcurate.system import garbage

CONFIG, COMPILED = "config.yaml", "compiled.json"
WITH_CONF = ("conf", "envs")
"""Data of hpcurate that the start reads: in a wheel they lie in the package, and in the frozen copy, too."""


def contents(folder: str, request: Request, settings: Settings) -> dict[str, bytes]:
    """All files of the compiled folder, by their names in it. Writes nothing. Raises UserError."""
    prepared = prepare(request)
    compiler = _compiler(prepared.launcher)
    code = _code(prepared, settings)
    compiled = _compiled(prepared, code_name(sorted(code.items())))
    config = resolved(request, settings)

    def texts(compiled: Compiled) -> dict[str, str]:
        scripts = compiler.scripts(folder, prepared.draft, compiled)
        return {**scripts, CONFIG: config, COMPILED: compiled.text(), "README": readme(folder, prepared, compiled)}

    compiled = msgspec.structs.replace(compiled, tag=digest(texts(compiled))[:12])
    written = {name: text.encode("utf-8", "surrogateescape") for name, text in texts(compiled).items()}
    return {**written, **{f"{compiled.code}/{name}": path.read_bytes() for name, path in code.items()}}


def _compiler(launcher: Launcher) -> Compiler:
    if launcher.compiler is None:
        raise ConfigError(f"launcher={launcher.name}: compile writes jobs for a scheduler; type launcher=slurm")
    return launcher.compiler


def _compiled(prepared: Prepared, code: str) -> Compiled:
    request = prepared.request
    return Compiled(
        identity=request.identity(),
        fingerprints=_fingerprints(request),
        store=Store.at(request.store).root,
        folder=request.command.folder,
        words=request.command.words,
        config_dirs=tuple(map(os.path.abspath, request.command.config_dirs)),
        code=code,
    )


def _fingerprints(request: Request) -> dict[str, str]:
    return {stage.name: stage.fingerprint for stage in request.draft().stages}


def resolved(request: Request, settings: Settings) -> str:
    """The configuration with nothing left to choose or to look up: launcher, site profile and store as here."""
    import yaml

    plain: dict[str, Any] = yaml.safe_load(request.config)
    site = {key: value for key, value in attrs.asdict(load_site(settings.site)).items() if value is not None}
    chosen = {"launcher": request.launcher, "store": Store.at(request.store).root, "site": site, "wait": None}
    return dump({**plain, **chosen})


def _code(prepared: Prepared, settings: Settings) -> dict[str, Path]:
    """Code of workers and gates, and what the start needs beside it: command line, configuration, the source."""
    source = str(settings.source["_target_"]).replace(":", ".").rpartition(".")[0]
    return code_and_data([*prepared.code, source])


def code_and_data(modules: Iterable[str]) -> dict[str, Path]:
    """Files by their names in a frozen copy: what modules need, the command line, and the data that it reads."""
    found = files_to_copy(modules, skip=set(WITH_CONF))
    for name in WITH_CONF:
        base = shipped(name)
        found |= {f"hpcurate/{name}/{path.relative_to(base)}": path for path in base.rglob("*") if path.is_file()}
    return found


def readme(folder: str, prepared: Prepared, compiled: Compiled) -> str:
    """What the folder is, how its jobs are submitted, and how to look at the run. Pure."""
    dirs = [word for one in compiled.config_dirs for word in ("--config-dir", one)]
    text = _README.format(
        name=prepared.draft.name,
        stages=", ".join(stage.name for stage in prepared.draft.stages),
        line=" ".join(map(quoted, ["hpcurate", "compile", *compiled.words, *dirs, folder])),
        where=quoted(compiled.folder),
        submit=quoted(os.path.join(folder, "submit.sh")),
        status=of_store("status", compiled.store),
        cancel=of_store("cancel", compiled.store),
        code=compiled.code,
    )
    return mask(text)


_README = """\
The run {name} ({stages}) as jobs, written in {where} by

    {line}

To submit it:  {submit}
or type the lines of that script: each job is held by those that it needs. Submit the start with --hold, and release it
when all others are queued: arrays that are not there yet when their turn comes are submitted by the gates.
To look at it: {status}
To stop it:    {cancel}

config.yaml     the configuration, resolved; with it the first job starts the run
{code}
                the code of stages, workers and gates, as it was: what is edited later is not in these jobs
compiled.json   what the run is known by; it is the run of the same command, which continues it at any time
logs/           what jobs print before they know their run; then as always, in the store

The input is listed when the first job runs. The folder has to stay where it is until the last job has ended, and
compute nodes have to see it. An array has as many elements as there may be workers; those that are not needed are taken
out of the queue, or leave at once. What a second round needs is submitted by the gates.
"""


# -- in the first job ---------------------------------------------------------------------------------


def start_compiled(folder: str) -> int:
    """Start the run of a compiled folder; the exit status. Raises UserError."""
    path = os.path.join(folder, COMPILED)
    compiled = read_compiled(Path(path).read_bytes(), path)
    os.chdir(compiled.folder)
    merge_packages()
    request = _request(Path(folder, CONFIG).read_bytes().decode("utf-8", "surrogateescape"), compiled)
    if request.identity() != compiled.identity:
        raise ConfigError(_other(folder, differing(compiled.fingerprints, _fingerprints(request))))
    garbage.as_usual()
    outcome = start(
        request,
        echo=say,
        listing=Listing(say),
        opened=lambda run: WaitingJobs(run, make_launcher(request.launcher)).remember(compiled),
    )
    return outcome.state.exit_status


def _request(config: str, compiled: Compiled) -> Request:
    request, _ = request_again(config, compiled.words, compiled.config_dirs)
    return attrs.evolve(request, wait=False, config=config)


def request_again(config: str, words: tuple[str, ...], config_dirs: tuple[str, ...]) -> tuple[Request, Settings]:
    """What was frozen as `resolved`, with its frozen code on the import path. Raises UserError."""
    import yaml

    plain: dict[str, Any] = yaml.safe_load(config)
    composed = frozen_config(dump({**plain, "stages": of_frozen_code(plain["stages"])}), {})
    typed = Typed(paths={}, overrides=(), words=words, config_dirs=config_dirs)
    settings = settings_of(composed)
    return request_of(settings, composed, typed), settings


def _other(folder: str, stage: str) -> str:
    what = f"stages.{stage}: what it depends on" if stage else "what it depends on"
    return (
        f"{what} is not as it was when {folder} was compiled: weights, input files, or a rerun of the stage; compile "
        "the folder again"
    )


def main(argv: list[str]) -> int:
    """The first job."""
    keep_private()
    try:
        return start_compiled(argv[0])
    except (UserError, OSError) as error:
        say_error(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
