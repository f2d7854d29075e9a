"""`hpcurate report`: one HTML page of a run, as a file or live."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress

from hpcurate.cli.arguments import VerbParser
from hpcurate.cli.terminal import show
from hpcurate.cli.verbs.common import run_parser, the_run
from hpcurate.cli.verbs.usage import prices_of
from hpcurate.errors import ConfigError, UserError
from hpcurate.report.run_view import RunView
from hpcurate.site_files import site_profile
from hpcurate.units import bytes_text


def parser() -> VerbParser:
    """`hpcurate report [RUN] [--output FILE | --serve]`."""
    parser = run_parser("report", "one HTML page of a run, with everything that it shows inside")
    parser.add_argument("--output", metavar="FILE", help="default: report.html in the run's folder; - is stdout")
    parser.add_argument("--items", type=_count, default=4000, help="tasks to look at, at most; default: %(default)s")
    parser.add_argument("--pictures", type=_count, default=200, help="of them, at most; default: %(default)s")
    parser.add_argument("--serve", action="store_true", help="serve it, live, to your browser; until Ctrl-C")
    parser.add_argument(
        "--listen", metavar="ADDRESS", help="with --serve: where to listen; default: 127.0.0.1, this machine alone"
    )
    parser.add_argument("--port", type=_count, help="with --serve; default: any that is free")
    return parser


def verb(argv: list[str]) -> int:
    """Write it and print where it is, or serve it."""
    from hpcurate import __version__
    from hpcurate.report.page.model import Options, page_of
    from hpcurate.report.page.pictures import Limits
    from hpcurate.report.page.render import render

    options = parser().parse_args(argv[1:])
    _check_serve(options)
    run = the_run(options)
    site = site_profile(options.site)[1]
    pictures = Limits(count=options.pictures)
    wanted = Options(version=__version__, items=options.items, pictures=pictures, prices=prices_of(site))
    if options.serve:
        from hpcurate.cli.live_report import serve_report

        serve_report(run, wanted, options.listen or "127.0.0.1", options.port or 0, site.login)
        return 0
    data = render(page_of(RunView(run), wanted)).encode("utf-8", "backslashreplace")
    if options.output == "-":
        sys.stdout.buffer.write(data)
    else:
        path = os.path.abspath(options.output or os.path.join(run.path, "report.html"))
        _write(path, data)
        show([f"{path}  ({bytes_text(len(data))}; open it in any browser, it needs no server)"])
    return 0


def _check_serve(options: argparse.Namespace) -> None:
    """Raises ConfigError for options of which one has no effect."""
    if options.serve and options.output:
        raise ConfigError("--output: with --serve the page is in no file; type hpcurate report without it for a file")
    if not options.serve and (options.listen or options.port is not None):
        raise ConfigError("--listen and --port are for --serve: add it, or leave them out")


def _write(path: str, data: bytes) -> None:
    """All of it or nothing. Raises UserError."""
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise UserError(f"{path}: cannot be written: {error.strerror}; name a file with --output FILE") from None


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text}: expected 0 or more")
    return number
