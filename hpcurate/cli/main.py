"""What a user types is either a verb or a run. Imports nothing heavy: `--help` answers at once."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from hpcurate.cli.terminal import say_error, take_any_text
from hpcurate.config_files import conf_folders, names_in
from hpcurate.errors import STORE_ERRNOS, UserError

VERBS = {
    "status": "hpcurate.cli.verbs.status",
    "watch": "hpcurate.cli.verbs.watch",
    "why": "hpcurate.cli.verbs.why",
    "trace": "hpcurate.cli.verbs.trace",
    "usage": "hpcurate.cli.verbs.usage",
    "advise": "hpcurate.cli.verbs.advise",
    "results": "hpcurate.cli.verbs.results",
    "logs": "hpcurate.cli.verbs.logs",
    "report": "hpcurate.cli.verbs.report",
    "verify": "hpcurate.cli.verbs.verify",
    "du": "hpcurate.cli.verbs.du",
    "clean": "hpcurate.cli.verbs.clean",
    "rm": "hpcurate.cli.verbs.rm",
    "retry": "hpcurate.cli.verbs.retry",
    "resume": "hpcurate.cli.verbs.resume",
    "form": "hpcurate.cli.verbs.form",
    "show": "hpcurate.cli.verbs.show",
    "cancel": "hpcurate.cli.verbs.cancel",
    "explain": "hpcurate.cli.verbs.explain",
    "compile": "hpcurate.cli.verbs.compile",
    "serve": "hpcurate.cli.verbs.serve",
    "runs": "hpcurate.cli.verbs.runs",
    "note": "hpcurate.cli.verbs.note",
    "export": "hpcurate.cli.verbs.export",
    "import": "hpcurate.cli.verbs.import_run",
    "compare": "hpcurate.cli.verbs.compare",
    "replay": "hpcurate.cli.verbs.replay",
    "doctor": "hpcurate.cli.verbs.doctor",
    "init": "hpcurate.cli.verbs.init",
    "envs": "hpcurate.cli.verbs.envs",
    "models": "hpcurate.cli.verbs.models",
    "install": "hpcurate.cli.verbs.install",
    "split-manifest": "hpcurate.cli.verbs.split_manifest",
    "reference": "hpcurate.cli.verbs.reference",
    "completion": "hpcurate.cli.verbs.completion",
}
"""Each verb and its module, which has `parser()`, and `verb(argv)`: it gets the whole line, and returns the status."""
RENAMED = {"shard": "split-manifest"}
"""Former names of verbs: refused with the new one."""

HELP = """\
hpcurate: curate data in Slurm job arrays.

Set up, once for a cluster and once for each project:
  hpcurate doctor --store DIR --write  look at the cluster, write its profile
  hpcurate init FOLDER                 a small project, ready to run
  hpcurate install +pipeline=NAME …    fetch weights and build environments
  hpcurate completion bash|zsh|fish    completion with the Tab key

Start or continue a run:
  hpcurate +pipeline=video input=/data/videos store=/scratch/me/curate
  hpcurate +pipeline=video input=… limit=10 | dry_run=true | debug=true
  hpcurate -m +pipeline=video input=… stages.motion.threshold=0.5,1.0,2.0

  input=              folder, file or glob
  store=              folder on shared storage
  output=             folder for the result
  launcher=           auto (default), slurm, local, inline
  wait=               true: stay until the end; false: submit and exit
  limit=              a trial on the first n tasks, which the full run reuses
  part=               i/n: a part of the input
  done=               a path with {{relative}}: skip what already exists there
  dry_run=            true: only print the plan
  debug=              true: 3 tasks in this process, breakpoints work
  rerun=              stages to run again
  keep=               results: free files that no stage needs any more
  changed=            redo: edited items again
  vanished=           drop: leave out items that are no longer there
  budget.failed=      how many tasks may fail; budget.fraction= a share of them
  stages.NAME.KEY=    a stage's parameter or one of its options:
                      resources.cpus, workers, sbatch.partition …
  stages.NAME.file=   a stage from a .py file
  site=               a site profile of conf/site
  --config-dir DIR    one more conf folder; ./conf is always used
  ~stages.NAME        leave a stage out, also a member of a chain
  --cfg, --info       print the resolved configuration, or where it comes from
  --help              with +pipeline=NAME: all keys of it and of its stages

  hpcurate compile +pipeline=NAME … DIR
                      the run as a folder of sbatch scripts, to submit yourself
  hpcurate serve +pipeline=NAME [STAGE] …
                      stages behind a page and an HTTP endpoint: requests
                      instead of a run
  hpcurate form NAME  a page to fill in, try, start and watch runs of a pipeline

Look at a run (RUN: a name or a part of one; without it, the latest of the
store, which is that of --store DIR or store=DIR, else HPCURATE_STORE, else the
site profile's, else that of the last run started):
  hpcurate status [RUN]        where it stands
  hpcurate watch [RUN]         live: progress, rate, what waits and why
  hpcurate why [RUN]           why it failed or stopped, and what to type
  hpcurate trace ITEM [RUN]    what became of one input, by name, id or file
  hpcurate show [RUN]          what it is: command, folders, hours, config
  hpcurate usage [RUN]         hours of CPUs and GPUs: busy, failed, idle
  hpcurate results STAGE [RUN] its rows and files, for other programs
  hpcurate advise [RUN]        what it asked for and did not need
  hpcurate logs [RUN]          what workers, stages and gates wrote
  hpcurate report [RUN]        all of it as one HTML page, with pictures;
                               --serve: live
  hpcurate explain [RUN]       why each stage runs or does not; also of
                               +pipeline=…
  hpcurate verify [RUN]        whether every file is still there
  hpcurate runs [PATTERN]      list and search runs
  hpcurate compare RUN RUN     two runs side by side
  hpcurate replay STAGE --of RUN
                               a stage again on its input of the run: does it
                               still give the same?

Change a run:
  hpcurate resume [RUN]        continue it as its command would, from any folder
  hpcurate retry [RUN]         try what failed again
  hpcurate cancel [RUN]        stop jobs that no other run needs, or a server
  hpcurate note RUN [TEXT…]    write a line about it, or read what was written

Carry a run elsewhere:
  hpcurate export RUN TO       rows, config, code and --files of it as a folder,
                               or as one file: TO.tar, TO.tar.gz
  hpcurate import FROM         into another store, where the same command has
                               nothing left to do

Housekeeping:
  hpcurate du [RUN]            what a store takes up, by stage and by run
  hpcurate clean               what nothing refers to; --yes removes it
  hpcurate rm RUN              remove a run; clean then frees what it made

More:
  hpcurate envs ACTION         environments of stages, from envs/NAME.yml
  hpcurate models ACTION       weights in the store
  hpcurate split-manifest MANIFEST N --by bytes   split it into balanced parts
  hpcurate reference [NAME]    every config field with its help, or one
  hpcurate VERB --help         the options of a verb

{pipelines}
Exit status: 0 complete or handed over, 1 failed or over budget, 2 refused
before anything started.
"""


def run(argv: Sequence[str]) -> int:
    """Do what was typed; the exit status."""
    take_any_text()
    if not argv or (argv[0] in ("-h", "--help", "help") and not any("=" in word for word in argv)):
        print(_help(), end="")
        return 0
    if argv[0] == "__complete":
        from hpcurate.cli.completion.answer import answer

        return answer(argv[1:])
    if argv[0] == "--version":
        from hpcurate import __version__

        print(__version__)
        return 0
    try:
        return _dispatch(argv)
    except UserError as error:
        say_error(str(error))
        return 2
    except BrokenPipeError:  # `hpcurate logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        if error.errno not in STORE_ERRNOS:
            raise
        from hpcurate.store.trouble import AGAIN, explain

        say_error(f"{explain(error).replace(AGAIN, f'then type {_typed(argv)}')}")
        return 1
    except KeyboardInterrupt:
        say_error(f"interrupted; to continue: {_typed(argv)}")
        return 130


def _typed(argv: Sequence[str]) -> str:
    from hpcurate.runs.commands import quoted

    return " ".join(map(quoted, ["hpcurate", *argv]))


def _dispatch(argv: Sequence[str]) -> int:
    sys.path.insert(0, os.getcwd())  # the console script, too, finds the user's own stages/
    if argv[0] in VERBS:
        status: int = importlib.import_module(VERBS[argv[0]]).verb(list(argv))
        return status
    if "=" not in argv[0] and not argv[0].startswith(("-", "+", "~")):
        raise _unknown(argv[0])
    from hpcurate.cli.start.launch import launch
    from hpcurate.runs.code import merge_packages

    merge_packages()
    return launch(list(argv))


def _help() -> str:
    """For a terminal of 80 columns."""
    import textwrap

    names = ", ".join(names_in(conf_folders(), "pipeline")) or "none"
    filled = textwrap.wrap(f"Pipelines here: {names}", 80, subsequent_indent="  ", break_long_words=False)
    return HELP.format(pipelines="\n".join(filled))


def _unknown(word: str) -> UserError:
    from hpcurate.errors import ConfigError
    from hpcurate.fields import suggestion

    if word in RENAMED:
        return ConfigError(f"hpcurate {word}: this verb is now called {RENAMED[word]}; type hpcurate {RENAMED[word]} …")
    return ConfigError(f"{word!r} is neither a verb nor key=value; {suggestion(word, list(VERBS))}")
