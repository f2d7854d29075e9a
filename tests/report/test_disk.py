"""`hpcurate du`: the sums are those of `du -s`; what two runs share counts once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import Shell

from hpcurate.cli.verbs.du import du_lines
from hpcurate.report.disk import DiskUse, disk_use
from hpcurate.store.layout import Store
from hpcurate.store.usage import Meter


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Two runs that share all stages but the last, and what else a store may have."""
    shell = Shell(tmp_path_factory.mktemp("du"))
    shell.inline("+pipeline=words", "limit=1")
    shell.inline("+pipeline=words", "limit=1", "rerun=show")
    (shard,) = shell.store.glob("stages/lower_case-*/shards/*/[!.]*")
    (shard / "files" / "t").mkdir(parents=True)
    (shard / "files" / "t" / "clip.bin").write_bytes(os.urandom(300_000))
    (shell.store / "weights" / "gpt2@abc").mkdir(parents=True)
    os.link(shard / "files" / "t" / "clip.bin", shell.store / "runs" / "latest" / "published.bin")
    (shell.store / "weights" / "gpt2@abc" / "w").write_bytes(os.urandom(50_000))
    (shell.store / os.fsdecode(b"o\xff\n<b>dd")).mkdir()
    (shell.store / "a link").symlink_to("/nowhere")
    return shell


@pytest.fixture(scope="module")
def use(shell: Shell) -> Iterator[DiskUse]:
    """What it takes up."""
    return disk_use(Store(str(shell.store)))


def du(path: Path, *options: str) -> int:
    """What GNU du says."""
    said = subprocess.run(["du", "-s", *options, str(path)], capture_output=True, text=True, check=True).stdout
    return int(said.split()[0])


def test_it_adds_up_to_du(shell: Shell, use: DiskUse) -> None:
    """Bytes on disk and inodes, hard links once, folders and links themselves included."""
    assert (du(shell.store, "-B1"), du(shell.store, "--inodes")) == (use.total.bytes, use.total.inodes)
    for place in ("stages", "weights"):
        assert du(shell.store / place, "-B1") == use.places[place].bytes
    for stage in use.stages:
        assert du(shell.store / "stages" / stage.folder, "-B1") == stage.usage.bytes


def test_the_parts_are_the_whole(use: DiskUse) -> None:
    """What a run shares with another is not its own, and every stage is somebody's here."""
    older, newer = use.runs
    assert 300_000 <= older.shared.files == newer.shared.files < 320_000
    assert {1, 2} == {len(stage.runs) for stage in use.stages}
    alone = older.alone.bytes + newer.alone.bytes
    assert sum(stage.usage.bytes for stage in use.stages) == alone + older.shared.bytes
    assert sum(place.bytes for place in use.places.values()) == use.total.bytes


def test_a_file_with_two_names_goes_only_with_both(shell: Shell) -> None:
    """What is published by a hard link is not freed with the stage."""
    (shard,) = shell.store.glob("stages/lower_case-*/shards/*/[!.]*")
    meter = Meter()
    meter.measure(str(shard))
    assert 300_000 <= meter.elsewhere < 320_000
    meter.measure(str(shell.store / "runs"))
    assert meter.elsewhere == 0


def test_what_is_shown(shell: Shell, use: DiskUse) -> None:
    """Stages, runs and places; of one run its own alone. Names of any bytes are printed."""
    text = shell.type("du").stdout
    assert all(word in text for word in ("lower_case-", "its own stages", "weights", "all of it", r"o\udcff"))
    older = use.runs[0].run
    lines = du_lines(use, older)
    assert older in "\n".join(lines)
    assert use.runs[1].run not in "\n".join(lines)
    assert '"inodes"' in shell.type("du", "--json").stdout
