"""`hpcurate form`: a page on which runs of one pipeline are filled in, tried, started and watched."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hpcurate.cli.arguments import VerbParser
from hpcurate.cli.start.form_fields import form_of
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.store_choice import state_folder
from hpcurate.cli.terminal import say, show, table
from hpcurate.cli.verbs.common import dead_letter_line, note_lines, queue_lines, work_lines
from hpcurate.cli.verbs.usage import prices_of
from hpcurate.cli.verbs.why import why_lines
from hpcurate.errors import ConfigError
from hpcurate.form.fields import Form
from hpcurate.form.secret_file import SecretFile, default_path
from hpcurate.report.causes import causes_of
from hpcurate.report.run_view import RunView
from hpcurate.report.watcher import Snapshot
from hpcurate.runs.folder import Run
from hpcurate.site_files import site_profile


def parser() -> VerbParser:
    """See `hpcurate form --help`."""
    made = VerbParser("form", "a page on which runs of one pipeline are filled in, tried, started and watched")
    made.add_argument("words", nargs="+", metavar="PIPELINE | key=value", help="its name, and what all runs have")
    made.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="one more conf folder")
    made.add_argument(
        "--secrets", metavar="FILE", help="NAME=value lines that only you can read; default: ~/.config/hpcurate/secrets"
    )
    made.add_argument("--listen", metavar="ADDRESS", default="127.0.0.1", help="default: only this machine")
    made.add_argument("--port", type=int, default=0, metavar="N", help="default: any that is free")
    made.add_argument("--dry-run", action="store_true", help="print the fields of the form, and serve nothing")
    return made


def verb(argv: list[str]) -> int:
    """Serve it until it is interrupted; runs that were started go on."""
    options = parser().parse_intermixed_args(argv[1:])
    folders = [word for folder in options.config_dir for word in ("--config-dir", folder)]
    form = form_of(sort_arguments([*_words(options.words), *folders]))
    secrets = SecretFile(os.path.abspath(os.path.expanduser(options.secrets)) if options.secrets else default_path())
    if form.asks_for_secrets or options.secrets:
        secrets.names()  # refused now rather than on the page
    if options.dry_run:
        show(field_lines(form))
        return 0
    _serve(form, secrets, options.listen, options.port)
    return 0


def _words(words: Sequence[str]) -> list[str]:
    """The pipeline by its name, or as a run has it."""
    named = [word for word in words if "=" not in word and not word.startswith("~")]
    if len(named) > 1:
        raise ConfigError(f"hpcurate form {' '.join(named)}: name one pipeline, and keys as key=value")
    rest = [word for word in words if word not in named]
    if not named and not any(word.lstrip("+").startswith("pipeline=") for word in rest):
        raise ConfigError("hpcurate form: name a pipeline, e.g. hpcurate form video")
    return [*(f"+pipeline={name}" for name in named), *rest]


def field_lines(form: Form) -> list[str]:
    """What the form asks for. Pure."""
    lines: list[str] = []
    for part in form.parts:
        rows = [(field.key, field.type or field.kind, field.text or field.usual) for field in part.fields]
        lines += [*[""][: len(lines)], *table((part.title, "", "stands there"), rows)]
    return lines


def _serve(form: Form, secrets: SecretFile, host: str, port: int) -> None:
    from hpcurate.cli.live_report import tunnel_lines
    from hpcurate.web.server import Server, exposure

    server = Server(host, port)
    from hpcurate.form.app import MOST_BODY, app_of
    from hpcurate.form.desk import Desk, Telling
    from hpcurate.form.processes import Answers
    from hpcurate.form.runs import StartedRuns

    folder = os.getcwd()
    answers = Answers(folder)
    desk = Desk(
        form=form,
        secrets=secrets,
        runs=StartedRuns(str(state_folder() / "form"), folder),
        answers=answers,
        telling=Telling(watch=_watch, why=_why, report=_report),
    )
    if warning := exposure(host):
        say(warning)
    tunnel = tunnel_lines(server.address, os.environ, site_profile(None)[1].login)
    show([f"form of {form.pipeline}: {server.address.url}", *tunnel])
    show(["Ctrl-C ends the page; runs that it has started go on"])
    server.run(app_of(desk), most_body=MOST_BODY, ending=answers.end)


def _watch(snapshot: Snapshot) -> list[str]:
    report = snapshot.report
    lines = work_lines(report) + note_lines(report) + queue_lines(snapshot.jobs)
    if snapshot.newest:
        lines += ["", "newest dead letters:", *map(dead_letter_line, snapshot.newest)]
    return lines


def _why(run: Run) -> list[str]:
    return why_lines(causes_of(RunView(run), None))


def _report(run: Run) -> str:
    from hpcurate import __version__
    from hpcurate.report.page.model import Options, page_of
    from hpcurate.report.page.render import render

    return render(page_of(RunView(run), Options(version=__version__, prices=prices_of(site_profile(None)[1]))))
