"""What export and import print."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hpcurate import __version__
from hpcurate.carry.contents import Contents
from hpcurate.carry.importing import Came
from hpcurate.carry.index import Header, Index
from hpcurate.cli.verbs.export import export_lines
from hpcurate.cli.verbs.import_run import import_lines
from hpcurate.runs.folder import Run

HEADER = Header(store=2, hpcurate=__version__, run="r", folder="/s/runs/r", files="all", open={})
CAME = Came(run=Run.at("/s/runs/r"), shards=2, output=1, lacking=())


def test_nothing_is_said_of_what_is_as_it_was() -> None:
    """Two lines."""
    assert import_lines(CAME, HEADER, "hpcurate …", True, []) == [
        "r  2 shards, 1 file of its output",
        "next: hpcurate …",
    ]


def test_what_is_to_be_known_is_said() -> None:
    """Another version, what is left, files that stayed, paths in rows, a command that nobody has compared."""
    header = msgspec.structs.replace(HEADER, hpcurate="9.1", files="none", open={"split": 3, "write": -1})
    came = msgspec.structs.replace(CAME, lacking=("cut",))
    assert import_lines(came, header, "hpcurate …", False, ["ln -s /mnt /data"]) == [
        "r  2 shards, 1 file of its output, written by hpcurate 9.1",
        "  split: 3 shards still to do",
        "  write: not begun",
        "  --files none: what it published stayed where it was",
        "  files not in the archive, with other paths they cannot be made again, --files all has them: cut",
        "  nobody has looked whether its command would be this run here",
        "  rows of stages name the old paths: what is left to do may need links, e.g. ln -s /mnt /data",
        "next: hpcurate …",
    ]


def test_where_no_path_is_another_files_can_be_made_again() -> None:
    """From the input; their rows name it as it is."""
    lines = import_lines(msgspec.structs.replace(CAME, lacking=("cut",)), HEADER, "hpcurate …", True, [])
    assert lines[1] == "  files not in the archive, made again if a stage needs them: cut"


def test_what_was_there_before() -> None:
    """Then nothing else is said."""
    came = msgspec.structs.replace(CAME, before=True)
    assert import_lines(came, HEADER, "hpcurate …", True, []) == [f"r  is there already: {Path('/s/runs/r')}"]


def test_an_export_says_what_stays() -> None:
    """And the digest of all."""
    header = msgspec.structs.replace(HEADER, files="none")
    lines = export_lines("/x/a.tar", Contents(header=header, files=(), notes=("write: not begun",)), Index(header, ()))
    assert lines == [
        "r  /x/a.tar: one file, 0 files, 0 B",
        "  not in it: write: not begun",
        "  not in it: files of stages, and what it has published (--files none)",
        f"sha256 {Index(header, ()).digest}",
    ]
