"""`hpcurate resume`: continue a run as its command would, from any folder, with the configuration that it keeps."""

from __future__ import annotations

import argparse

from hpcurate.cli.start.again import OF_A_RUN, request_again
from hpcurate.cli.start.launch import carry_out
from hpcurate.cli.verbs.common import RUN_HELP, one_name, store_parser, the_run_without_doubt
from hpcurate.errors import ConfigError
from hpcurate.runs.commands import spelling_out
from hpcurate.runs.commands import verb as typed
from hpcurate.runs.folder import Run, peek_run
from hpcurate.runs.prepare import Request
from hpcurate.runs.same_stages import differences
from hpcurate.store.layout import Store


def parser() -> argparse.ArgumentParser:
    """See `hpcurate resume --help`."""
    made = store_parser("resume", "continue a run, as its command typed again would")
    made.add_argument("words", nargs="*", metavar="RUN | key=value", help=f"the run: {RUN_HELP}; and further values")
    made.add_argument(
        "--new-run", action="store_true", help="also where what was edited, or is given here, makes it another run"
    )
    made.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="one more conf folder")
    return made


def verb(argv: list[str]) -> int:
    """Start it as the run's command would; the exit status is the run's."""
    options = parser().parse_intermixed_args(argv[1:])
    words = [word for word in options.words if "=" in word]
    options.run = one_name("resume", options.words)
    run = the_run_without_doubt(options)
    with spelling_out(run.frozen().command, run.store.root):
        request, settings = request_again(run, words, options.config_dir, takes=OF_A_RUN)
        if not options.new_run:
            check_same_run(run, request, words)
    return carry_out(request, settings)


def check_same_run(run: Run, request: Request, words: list[str]) -> None:
    """Raise ConfigError where the request is another run, with what makes it one."""
    found = peek_run(Store.at(request.store), request.draft(), request.output, request.limit)
    if found is not None and found.name == run.name:
        return
    before = run.frozen()
    now = request.build(request.steps(request.output or run.output))
    why = next(iter(differences(run.name, before.pipeline, now)), f"limit or output is not that of {run.name}")
    other = f"the run {found.name}" if found else "a new run"
    new = typed("resume", run.name, run.store.root, *words, "--new-run")
    keep = typed("retry", run.name, run.store.root, "--keep-done")
    raise ConfigError(
        f"{why}: this would be {other}, which shares what is done of the stages that did not change\n"
        f"to start it: {new}\n"
        f"or, after code was edited, to keep what succeeded and try only what failed: {keep}"
    )
