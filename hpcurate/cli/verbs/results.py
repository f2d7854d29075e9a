"""`hpcurate results`: the tasks that a stage has passed on, for other programs."""

from __future__ import annotations

import argparse
import os
import sys
from typing import BinaryIO

from hpcurate.cli.terminal import say
from hpcurate.cli.verbs.common import RUN_HELP, store_parser, the_run
from hpcurate.errors import ConfigError
from hpcurate.report.exporting import FORMATS, MANIFEST, new_file, write_folder
from hpcurate.report.results import Results, results_of
from hpcurate.report.run_view import RunView
from hpcurate.units import plural

NO_FOLDERS = ("json", "ndjson", "jsonlines", "tsv", "xlsx", "pq", "arrow", "feather", "pandas", "table", "text", "txt")
"""Words that name another format rather than a folder."""


def parser() -> argparse.ArgumentParser:
    """See `hpcurate results --help`."""
    made = store_parser("results", "the tasks that a stage has passed on, in this run: rows, and the files they name")
    made.add_argument("stage", nargs="?", metavar="STAGE", help="name of a stage, or `input` for what was taken in")
    made.add_argument("run", nargs="?", metavar="RUN", help=RUN_HELP)
    to = "jsonl (default), csv or parquet; or a new folder, for the files with a manifest.jsonl beside them"
    made.add_argument("--to", metavar="FORMAT|DIR", help=to)
    made.add_argument("--output", metavar="FILE", help="new file instead of stdout; its suffix may name the format")
    made.add_argument("--copy", action="store_true", help="in a folder: copies, instead of hard links into the store")
    return made


def verb(argv: list[str]) -> int:
    """Write them; 0 also where more is to come. Raises ConfigError."""
    options = parser().parse_args(argv[1:])
    to = chosen(options.to, options.output, options.copy)
    view = RunView(the_run(options))
    if options.stage is None:
        names = [stage.name for stage in view.planned]
        raise ConfigError(f"of which stage? expected one of {', '.join(names)}, or input: hpcurate results {names[-1]}")
    results = results_of(view, options.stage)
    if results.missing:
        say(f"partial: {results.missing}; these are the {plural(results.tasks, 'task')} that are committed")
    if to not in FORMATS:
        files = write_folder(results, to, copy=options.copy)
        say(f"{plural(results.tasks, 'task')} in {os.path.join(to, MANIFEST)}, {plural(files, 'file')} beside it")
    elif options.output:
        with new_file(options.output) as file:
            FORMATS[to](results, file)
        say(f"{plural(results.tasks, 'task')} in {options.output}")
    else:
        _to_stdout(results, to)
    return 0


def chosen(to: str | None, output: str | None, copy: bool = False) -> str:
    """The format, or the folder. Pure. Raises ConfigError."""
    suffix = os.path.splitext(output or "")[1].lstrip(".")
    found = to or (suffix if suffix in FORMATS else "jsonl")
    if found in NO_FOLDERS:
        raise ConfigError(f"--to {found}: expected jsonl, csv, parquet or a folder; for a folder type --to ./{found}")
    if found not in FORMATS and output:
        raise ConfigError(f"--to {found}: is a folder, and --output {output} a file; give one of them")
    if found in FORMATS and copy:
        raise ConfigError(f"--copy: is for files, and --to {found} writes rows alone; type --to DIR --copy")
    return found


def _to_stdout(results: Results, to: str) -> None:
    if to == "parquet" and sys.stdout.isatty():
        raise ConfigError("--to parquet: is not for a terminal; add --output FILE.parquet")
    file: BinaryIO = sys.stdout.buffer
    FORMATS[to](results, file)
    file.flush()
