"""`hpcurate export`: a run as a folder or one file, with a digest of each file, for `hpcurate import` elsewhere."""

from __future__ import annotations

import argparse
import os

from hpcurate import __version__
from hpcurate.carry.archive import is_tar, write_archive
from hpcurate.carry.contents import Contents, contents_of
from hpcurate.carry.index import FILES, Index
from hpcurate.cli.terminal import show, show_json
from hpcurate.cli.verbs.common import store_parser, the_run
from hpcurate.errors import ConfigError
from hpcurate.report.run_view import RunView
from hpcurate.units import bytes_text, plural


def parser() -> argparse.ArgumentParser:
    """See `hpcurate export --help`."""
    made = store_parser("export", "a run as a folder or one file, which hpcurate import takes into another store")
    made.add_argument("run", metavar="RUN", help="name, path or part of a name, or `latest`")
    made.add_argument("to", metavar="TO", help="folder that is not there yet, or a file: TO.tar, TO.tar.gz")
    made.add_argument(
        "--files",
        choices=FILES,
        default="outputs",
        help="which files go along: none, only rows; outputs (default), what it has published and files of its last "
        "stages; all, also those between its stages",
    )
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def verb(argv: list[str]) -> int:
    """Write it, and print its digest."""
    options = parser().parse_args(argv[1:])
    to = os.path.abspath(os.path.expanduser(options.to))
    if not os.path.isdir(os.path.dirname(to)):
        raise ConfigError(f"{options.to}: there is no folder {os.path.dirname(to)}; make it, or name another place")
    contents = contents_of(RunView(the_run(options)), options.files, __version__)
    index = write_archive(to, contents.header, contents.files)
    if options.json:
        show_json({"archive": to, "sha256": index.digest, "files": len(index.entries), "bytes": index.size})
    else:
        show(export_lines(to, contents, index))
    return 0


def export_lines(to: str, contents: Contents, index: Index) -> list[str]:
    """What is printed. Pure."""
    what = "one file" if is_tar(to) else "a folder"
    return [
        f"{index.header.run}  {to}: {what}, {plural(len(index.entries), 'file')}, {bytes_text(index.size)}",
        *[f"  not in it: {note}" for note in contents.notes],
        *["  not in it: files of stages, and what it has published (--files none)"] * (index.header.files == "none"),
        f"sha256 {index.digest}",
    ]
