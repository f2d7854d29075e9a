"""`hpcurate clean`: what nothing refers to, and how much it would free; `--yes` removes it."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from hpcurate.cli.servers import over_names, remove_over
from hpcurate.cli.terminal import say, show, show_json, table
from hpcurate.cli.verbs.common import store_parser, the_store
from hpcurate.report.cleaning import Cleanable, cleanable
from hpcurate.runs.clean import Cleaned, Cleaner
from hpcurate.runs.commits_seen import CONFIRM_S
from hpcurate.site_files import site_profile
from hpcurate.units import bytes_text, plural

HEADER = ("nothing refers to", "on disk", "inodes")


def parser() -> argparse.ArgumentParser:
    """Of `hpcurate clean`."""
    made = store_parser("clean", "what nothing in a store refers to any more, and how much it would free")
    made.add_argument("--yes", action="store_true", help="remove it; without, nothing is changed")
    made.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        default=CONFIRM_S,
        help="between two looks: a run that another host starts meanwhile has to be seen; default: 60; 0 where no "
        "other machine uses the store",
    )
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def verb(argv: list[str]) -> int:
    """Print what may go, or remove it and print what went."""
    options = parser().parse_args(argv[1:])
    store, (_, site) = the_store(options), site_profile(options.site)
    trash_s, runs_s = site.retention_s("trash") or float("inf"), site.retention_s("runs")
    if options.yes:
        servers = remove_over(store, options.wait)
        done = Cleaner(store, trash_s=trash_s, say=say).clean(options.wait)
        plain, lines = {**done.plain(), "servers": servers}, [*removed_lines(servers), *cleaned_lines(done)]
    else:
        servers = over_names(store)
        found = cleanable(store, trash_s=trash_s, runs_s=runs_s)
        plain, lines = {**found.plain(), "servers": servers}, cleanable_lines(found, servers)
    if options.json:
        show_json(plain)
    else:
        show(lines)
    return 0


def cleanable_lines(found: Cleanable, servers: Sequence[str] = ()) -> list[str]:
    """What may go. Pure."""
    where = f"--store {shlex.quote(found.store)}"
    rows = [(name, bytes_text(use.bytes), str(use.inodes)) for name, use in found.stages.items()]
    lines = [*table(HEADER, rows, numbers=True), ""] if rows else []
    if found.attempts:
        lines.append(f"{plural(found.attempts, 'attempt')} that ended without a result")
    if found.trash:
        lines.append(f"{plural(found.trash, 'old item')} of trash/")
    if servers:
        lines.append(f"{plural(len(servers), 'server')} that ended: {', '.join(servers)}")
    lines += [f"kept: {why}" for why in found.kept]
    for old in found.old_runs:
        lines.append(f"{old.run}: not typed for {plural(old.days, 'day')}; `hpcurate rm {old.run} {where}` removes it")
    if not found.anything and not servers:
        return [*lines, f"{found.store}: runs refer to all of it, nothing to remove"]
    freed = f"{bytes_text(found.bytes)} in {plural(found.inodes, 'inode')} would be freed; nothing was changed"
    return [*lines, freed, f"next: hpcurate clean --yes {where}"]


def removed_lines(servers: Sequence[str]) -> list[str]:
    """Servers that went. Pure."""
    return [f"server {name}: removed" for name in servers]


def cleaned_lines(done: Cleaned) -> list[str]:
    """What went. Pure."""
    lines = [f"{folder}: removed" for folder in done.stages]
    lines += [f"{folder}: put back, a run has begun to want it" for folder in done.put_back]
    rest = f"{plural(done.attempts, 'attempt')} without a result and {plural(done.trash, 'item')} of trash/"
    return [*lines, f"{plural(len(done.stages), 'stage')}, {rest} removed, {bytes_text(done.freed)} freed"]
