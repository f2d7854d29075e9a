"""`hpcurate import`: take a run from an archive into a store, where the same command has nothing left to do."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from hpcurate import __version__
from hpcurate.carry.archive import Checked, checked
from hpcurate.carry.coming import ANYWAY, Coming, Same, opened, same_run
from hpcurate.carry.importing import Came, take_in
from hpcurate.carry.index import Header
from hpcurate.carry.paths import Paths
from hpcurate.cli.start.again import request_here
from hpcurate.cli.store_choice import find_store
from hpcurate.cli.terminal import say, show, show_json
from hpcurate.cli.verbs.common import ending_at_once, store_parser
from hpcurate.errors import ConfigError, PipelineError, StoreError
from hpcurate.runs.commands import again, quoted
from hpcurate.runs.folder import check_store_writable
from hpcurate.store.layout import Store
from hpcurate.units import plural


def parser() -> argparse.ArgumentParser:
    """See `hpcurate import --help`."""
    made = store_parser("import", "take a run from an archive into a store; type it where its command is to be typed")
    made.add_argument("archive", metavar="FROM", help="folder or file that hpcurate export wrote")
    made.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="a folder that is elsewhere here: of the input, the output, or a parameter; may be repeated",
    )
    made.add_argument("--digest", metavar="SHA256", help="refuse an archive with another digest than export printed")
    made.add_argument(
        "--anyway", action="store_true", help="also where nobody can say that the same command would be this run"
    )
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def verb(argv: list[str]) -> int:
    """Check, then bring it in. Raises UserError; then nothing was imported."""
    options = parser().parse_args(argv[1:])
    store = Store.at(find_store(options.store, options.site))
    check_store_writable(store.root)
    archive = checked(os.path.abspath(os.path.expanduser(options.archive)))
    if options.digest not in (None, archive.index.digest):
        raise StoreError(f"--digest {options.digest}: {archive.path} has {archive.index.digest}; nothing was imported")
    return ending_at_once(lambda: _import(archive, store, options))


def _import(archive: Checked, store: Store, options: argparse.Namespace) -> int:
    with opened(archive, store, Paths.typed(options.path)) as coming:
        same = None if options.anyway else _same(coming)
        came = take_in(coming, same, say)
    if options.json:
        show_json({"run": came.run.name, "store": store.root, "sha256": archive.index.digest, "shards": came.shards})
    else:
        command = again(came.run.frozen().command, store.root)
        links = [f"ln -s {quoted(new)} {quoted(old)}" for old, new in Paths.typed(options.path).pairs if old != new]
        show(import_lines(came, archive.index.header, command, same is not None, links))
    return 0


def _same(coming: Coming) -> Same | None:
    """Its command, as it would be here. None for a run that Python started: only its program has the stages."""
    if not coming.frozen.command.words:
        return None
    try:
        return same_run(coming, request_here(coming.kept, coming.run.store.root))
    except (ConfigError, PipelineError) as error:
        more = "" if ANYWAY in str(error) else f"; {ANYWAY}"
        raise ConfigError(f"{coming.archive.path}: its command cannot be typed here: {error}{more}") from None


AGAIN = "made again if a stage needs them"


def import_lines(came: Came, header: Header, command: str, is_same: bool, elsewhere: Sequence[str]) -> list[str]:
    """What is printed. Pure."""
    run = came.run
    if came.before:
        return [f"{run.name}  is there already: {run.path}"]
    other = f", written by hpcurate {header.hpcurate}" if header.hpcurate != __version__ else ""
    lines = [f"{run.name}  {plural(came.shards, 'shard')}, {plural(came.output, 'file')} of its output{other}"]
    lines += [f"  {name}: {_open_text(count)}" for name, count in header.open.items()]
    if header.files == "none":
        lines.append("  --files none: what it published stayed where it was")
    if came.lacking:
        fate = "with other paths they cannot be made again, --files all has them" if elsewhere else AGAIN
        lines.append(f"  files not in the archive, {fate}: {', '.join(came.lacking)}")
    if not is_same:
        lines.append("  nobody has looked whether its command would be this run here")
    if elsewhere and header.open:
        lines.append(f"  rows of stages name the old paths: what is left to do may need links, e.g. {elsewhere[0]}")
    return [*lines, f"next: {command}"]


def _open_text(count: int) -> str:
    return f"{plural(count, 'shard')} still to do" if count >= 0 else "not begun"
