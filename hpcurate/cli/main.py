"""Which of the things a person may type it is. Imports nothing heavy: `--help` answers at once."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from hpcurate.config_files import conf_folders, names_in
from hpcurate.errors import UserError

VERBS = {
    "status": "hpcurate.cli.verbs.status",
    "watch": "hpcurate.cli.verbs.watch",
    "why": "hpcurate.cli.verbs.why",
    "logs": "hpcurate.cli.verbs.logs",
    "cancel": "hpcurate.cli.verbs.cancel",
    "explain": "hpcurate.cli.verbs.explain",
    "runs": "hpcurate.cli.verbs.runs",
    "note": "hpcurate.cli.verbs.runs",
    "compare": "hpcurate.cli.verbs.runs",
    "doctor": "hpcurate.cli.verbs.doctor",
    "init": "hpcurate.cli.verbs.init",
    "envs": "hpcurate.cli.verbs.envs",
    "models": "hpcurate.cli.verbs.models",
    "shard": "hpcurate.cli.verbs.split_manifest",
    "reference": "hpcurate.cli.verbs.reference",
}
"""Each verb and the module whose `verb(argv)` does it; it is given the whole command line."""

HELP = """\
hpcurate: curate data in Slurm job arrays.

Once on a cluster, once for a project of your own:
  hpcurate doctor --store /scratch/me/curate --write     look at the cluster, write its site profile
  hpcurate init FOLDER                                   a pipeline, a stage and its test, which run at once

Start or continue a run:
  hpcurate +pipeline=video input=/data/videos store=/scratch/me/curate
  hpcurate +pipeline=video input=… limit=10 | dry_run=true | debug=true | rerun=split
  hpcurate -m +pipeline=video input=… stages.motion.threshold=0.5,1.0,2.0

  input=    folder, file or glob            launcher=  auto (default), slurm, local, inline
  store=    folder on shared storage        wait=      true: stay until the end; false: submit and leave
  output=   folder of the result            limit=     a trial on the first n tasks, which the full run reuses
  shard=    i/n: a part of the input        done=      a path with {{relative}}: leave out what exists there
  dry_run=  true: the plan and its scripts  debug=     true: 3 tasks in this process, breakpoints work
  rerun=    stages to do anew               budget.failed=, budget.fraction=  dead letters tolerated
  stages.NAME.KEY=   a stage's parameter, or one of its options: resources.cpus, workers, sbatch.partition …
  stages.NAME.file=  a stage from a .py file
  site=     a site profile of conf/site     --config-dir DIR  a conf folder of yours; ./conf is found by itself
  --cfg     print the resolved configuration, and nothing else

Look after runs (RUN: a name, a part of one, or nothing for the latest):
  hpcurate status  [RUN] [--json]           where it stands
  hpcurate watch   [RUN] [--once]           live: progress, rate, what waits and why, newest failures
  hpcurate why     [RUN] [--json]           why it failed or does not go on, and what to type
  hpcurate logs    [RUN] [--stage S] [--shard ID] [--task T] [--worker N] [--failed] [--gate]
  hpcurate cancel  [RUN]                    stop what nobody else wants
  hpcurate explain [RUN | +pipeline=…]      why each stage runs or does not
  hpcurate runs [PATTERN] [--state S]       all runs; note RUN TEXT…; compare RUN RUN
  hpcurate envs list|lock|build|check|remove    environments of stages, from envs/NAME.yml
  hpcurate models list|fetch|verify|remove  weights in the store
  hpcurate shard MANIFEST N --by bytes      cut a manifest into n
  hpcurate reference                        every config field with its help

Pipelines here: {pipelines}
Exit status: 0 complete or handed over, 1 failed or over budget, 2 refused before anything started.
"""


def run(argv: Sequence[str]) -> int:
    """Do what was typed; the exit status."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(HELP.format(pipelines=", ".join(names_in(conf_folders(), "pipeline")) or "none"), end="")
        return 0
    if argv[0] == "--version":
        from hpcurate import __version__

        print(__version__)
        return 0
    try:
        return _dispatch(argv)
    except UserError as error:
        print(f"hpcurate: {_printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `hpcurate logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        print("hpcurate: interrupted; the same command again goes on", file=sys.stderr)
        return 130


def _dispatch(argv: Sequence[str]) -> int:
    sys.path.insert(0, os.getcwd())  # the console script, too, finds the user's own stages/
    if argv[0] in VERBS:
        status: int = importlib.import_module(VERBS[argv[0]]).verb(list(argv))
        return status
    if "=" not in argv[0] and not argv[0].startswith(("-", "+", "~")):
        from hpcurate.errors import ConfigError
        from hpcurate.fields import suggestion

        raise ConfigError(f"{argv[0]!r} is neither a verb nor key=value; {suggestion(argv[0], list(VERBS))}")
    from hpcurate.cli.start.launch import launch
    from hpcurate.runs.code import merge_packages

    merge_packages()
    return launch(list(argv))


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
