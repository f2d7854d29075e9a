"""`hpcurate replay`: one stage again, on what it was given in a run, compared with what the run has of it."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from typing import Any

from hpcurate.cli.start.launch import shown
from hpcurate.cli.start.overrides import key_of, sort_arguments, value_of
from hpcurate.cli.terminal import say, say_error, show, show_json
from hpcurate.cli.verbs.common import RUN_HELP, store_parser, store_path, the_run
from hpcurate.errors import ConfigError, UserError
from hpcurate.fields import names_of
from hpcurate.golden.outcomes import lines_of
from hpcurate.golden.rules import read_rules
from hpcurate.replay.chosen import Which
from hpcurate.replay.replay import Replay, Replayed, replay
from hpcurate.replay.small_run import NotDone
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import LAUNCHERS
from hpcurate.site_files import load_site
from hpcurate.system.classes import load_class
from hpcurate.units import plural

TASKS = "`first N`, `all`, or ids and names, as hpcurate trace takes them; default: all, of up to 1000"
TOLERANCE = "FIELD=1e-3, FIELD=0.1%% of the number before, or FIELD=1e-6+0.1%%; `*` is every field; may be repeated"
_KEY = re.compile(r"[a-z_][a-z_0-9.]*=")
"""How `key=value` begins, also behind `--tasks`, which takes several words."""
WORDS = "launcher=inline (in this process), local (default) or slurm; settings and parameters of the stage"


def parser() -> argparse.ArgumentParser:
    """See `hpcurate replay --help`."""
    made = store_parser("replay", "run one stage again on what it was given in a run, and compare what comes out")
    made.add_argument("stage", metavar="STAGE", help="name of the stage")
    made.add_argument("words", nargs="*", metavar="key=value", help=WORDS)
    made.add_argument("--of", metavar="RUN", help=RUN_HELP)
    made.add_argument("--tasks", nargs="+", metavar="TASK", default=[], help=TASKS)
    made.add_argument("--golden", metavar="FOLDER", help="compare with what is kept there; it needs no run")
    made.add_argument("--save", action="store_true", help="keep what comes out, and what went in, in --golden FOLDER")
    made.add_argument("--tolerance", action="append", default=[], metavar="FIELD=NUMBER", help=TOLERANCE)
    made.add_argument("--ignore", action="append", default=[], metavar="FIELD", help="a field that is not compared")
    made.add_argument("--frozen", action="store_true", help="with the code of the run, instead of that of now")
    made.add_argument(
        "--work", metavar="DIR", help="new folder for the scratch store, which stays; default: none stays"
    )
    made.add_argument("--json", action="store_true", help="print JSON, with every difference")
    return made


def verb(argv: list[str]) -> int:
    """0: the same, or saved; 1: something differs, or the stage stalls. Raises UserError before anything starts."""
    options = parser().parse_intermixed_args(argv[1:])
    options.run, keys = options.of, [word for word in options.tasks if _KEY.match(word)]
    options.words, options.tasks = [*options.words, *keys], [word for word in options.tasks if word not in keys]
    run = None if _golden_alone(options) else the_run(options)
    with shown(bars=False) as (echo, _):
        asked = _asked(options, run, lambda line: echo(line) if line.startswith(f"{options.stage}:") else None)
        try:
            with redirect_stdout(sys.stderr):  # where workers in this process print what they do
                found = replay(asked)
        except NotDone as error:
            say_error(str(error))
            return 1
    if options.json:
        show_json(found.plain())
    else:
        show(lines(found))
    if options.save:
        say(f"kept in {options.golden}: {found.now.counts()}")
    return 0 if options.save or found.comparison.is_same else 1


def _golden_alone(options: argparse.Namespace) -> bool:
    """Whether no run takes part: a golden folder is compared with, or keeps what its own tasks give now."""
    if options.golden is None or options.of is not None:
        return False
    return not options.save or os.path.isdir(options.golden)


def _asked(options: argparse.Namespace, run: Run | None, echo: Any) -> Replay:
    values = {key_of(word): value_of(word) for word in sort_arguments(_words(options.words)).overrides}
    launcher = str(values.pop("launcher", "local"))
    return Replay(
        stage=options.stage,
        run=run,
        which=Which.of(options.tasks),
        golden=options.golden,
        save=options.save,
        rules=read_rules(options.tolerance, options.ignore),
        changes=values,
        frozen=options.frozen,
        launcher=_launcher(launcher, run),
        work=options.work,
        store=_built(options),
        echo=echo,
    )


def _built(options: argparse.Namespace) -> str:
    """The store that has weights and environments, if any is named."""
    with suppress(UserError):
        return store_path(options)
    return ""


def _words(words: Sequence[str]) -> list[str]:
    for word in words:
        if "=" not in word:
            raise ConfigError(f"{word!r}: expected key=value; a run is named by --of {word}")
    return list(words)


def _launcher(name: str, run: Run | None) -> dict[str, Any]:
    """With what the site profile gives to it, and what the run had. A replay here has one worker."""
    if name not in LAUNCHERS:
        raise ConfigError(f"launcher={name}: expected one of {', '.join(LAUNCHERS)}")
    target, fields = LAUNCHERS[name], names_of(load_class(LAUNCHERS[name], "launcher"))
    of_run = run.frozen().launcher if run is not None else {}
    same = of_run if of_run.get("_target_") == target else load_site({"use": "auto"}).for_launcher(fields)
    return {**same, "_target_": target, **({"workers": 1} if name == "local" else {})}


def lines(found: Replayed) -> list[str]:
    """What was compared, how many are the same, and the first differences. Pure."""
    of = "" if found.tasks == found.of else f" of {found.of}"
    code = f", code {found.code}" if found.code else ""
    return [
        f"{found.stage}: {plural(found.tasks, 'task')}{of} replayed, compared with {found.compared_with}{code}",
        f"before: {found.before.counts()}",
        f"now:    {found.now.counts()}",
        *lines_of(found.comparison),
        *found.notes,
    ]
