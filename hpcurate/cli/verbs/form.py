"""`hpcurate form`: a page on which runs of one pipeline are filled in, tried, started and watched."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence

import msgspec

from hpcurate.cli.arguments import VerbParser
from hpcurate.cli.start.form_fields import form_of
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.start.request import request_of, without_input
from hpcurate.cli.terminal import say, show, table
from hpcurate.errors import ConfigError
from hpcurate.form.fields import Form
from hpcurate.form.secret_file import SecretFile, default_path
from hpcurate.runs.folder import open_store
from hpcurate.runs.launcher import make_launcher
from hpcurate.site_files import load_site, site_profile


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
    made.add_argument("--job", action="store_true", help="as a job on a compute node; its runs are jobs of their own")
    made.add_argument("--time", default="8h", metavar="TIME", help="with --job: its wall time; default: %(default)s")
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
    if options.job:
        return _submit(form, [*_words(options.words), *folders], secrets, options)
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
    from hpcurate.web.server import Server, exposure

    server = Server(host, port)
    from hpcurate.cli.form_server import HostedForm
    from hpcurate.cli.live_report import tunnel_lines
    from hpcurate.form.app import MOST_BODY

    hosted = HostedForm(form, secrets, os.getcwd())
    if warning := exposure(host):
        say(warning)
    tunnel = tunnel_lines(server.address, os.environ, site_profile(None)[1].login)
    show([f"form of {form.pipeline}: {server.address.url}", *tunnel])
    show(["Ctrl-C ends the page; runs that it has started go on"])
    server.run(hosted.app, most_body=MOST_BODY, ending=lambda: hosted.close(0.0))


def _submit(form: Form, words: Sequence[str], secrets: SecretFile, options: argparse.Namespace) -> int:
    """As a job of its own; the exit status."""
    from hpcurate.cli.form_server import ENTRY, ServedForm, form_needs, on_slurm
    from hpcurate.cli.servers import await_server
    from hpcurate.serving.servers import ServerSpec
    from hpcurate.serving.submitting import submit_server

    typed = sort_arguments(on_slurm(words))
    composed, settings = without_input(typed)
    request = request_of(settings, composed, typed)
    launcher = make_launcher(request.launcher)
    if launcher.services is None:
        raise ConfigError(f"--job: launcher={launcher.name} has no jobs; type launcher=slurm, or leave --job out")
    served = ServedForm(words=tuple(words), where=os.getcwd(), secrets=secrets.path)
    spec = ServerSpec(
        what=f"form of {form.pipeline}",
        entry=ENTRY,
        served=msgspec.to_builtins(served),
        listen=options.listen,
        port=options.port,
        launcher=request.launcher,
        made=time.time(),
    )
    server = submit_server(
        open_store(request.store), f"form-{form.pipeline}", spec, form_needs(options.time),
        services=launcher.services, queue=launcher.queue, freeze=lambda server: None,
    )  # fmt: skip
    return await_server(server, launcher, load_site(settings.site).login)
