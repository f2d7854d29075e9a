"""`hpcurate verify`: files that a purge took, and what to type then."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Shell

from hpcurate.cli.verbs.verify import SHOWN, verify_lines
from hpcurate.report.verification import Fault, Verification

RUN = ("+pipeline=words", "limit=1")


@pytest.fixture
def done(shell: Shell) -> Shell:
    """A complete run."""
    shell.inline(*RUN)
    return shell


def shard_of(shell: Shell, stage: str) -> Path:
    """The one committed shard of a stage."""
    (path,) = shell.store.glob(f"stages/{stage}-*/shards/*/[!.]*")
    return path


def test_nothing_is_missing(done: Shell) -> None:
    """Then the exit status is 0."""
    text = done.type("verify").stdout
    assert "nothing is missing" in text
    assert "not checked" not in text


def emptied(path: Path) -> None:
    """Let a file have no content."""
    path.chmod(0o600)
    path.write_bytes(b"")


def other_row(path: Path) -> None:
    """Let a file have the size it had, and no row."""
    path.chmod(0o600)
    path.write_bytes(b"x" * path.stat().st_size)


DAMAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("tasks.jsonl", os.unlink, "tasks.jsonl is missing"),
    ("tasks.jsonl", emptied, "tasks.jsonl has 0 bytes, it had"),
    ("tasks.jsonl", other_row, "tasks.jsonl has 0 rows, stats.json says 1"),
    ("stats.json", os.unlink, "stats.json"),
    ("stats.json", emptied, "stats.json"),
]


@pytest.mark.parametrize(("name", "damage", "what"), DAMAGES)
def test_a_damaged_shard_is_named_moved_away_and_made_again(
    done: Shell, name: str, damage: Callable[[Path], object], what: str
) -> None:
    """By stage and shard; nothing is changed before `--repair` is typed. Before: `complete`, whatever was purged."""
    shard = shard_of(done, "lower_case")
    rows = (shard / "tasks.jsonl").read_bytes()
    damage(shard / name)
    text = done.type("verify", status=1).stdout
    assert f"{shard.name}: " in text
    assert what in text
    assert "--repair --store" in text
    plain = json.loads(done.type("verify", "--json", status=1).stdout)
    assert [("lower_case", shard.name)] == [(fault["stage"], fault["shard"]) for fault in plain["faults"][:1]]
    assert shard.exists()
    moved = done.type("verify", "--repair", status=1).stdout
    assert "1 shard moved into trash/" in moved
    assert not shard.exists()
    assert [shard.name] == [path.name.split(".")[1] for path in (done.store / "trash").glob("lower_case-*")]
    done.inline(*RUN)
    assert rows == (shard / "tasks.jsonl").read_bytes()
    assert "nothing is missing" in done.type("verify").stdout


def test_a_shard_that_cannot_be_read_is_an_error_that_names_the_verb(done: Shell) -> None:
    """Where there is no index, each call opens it; what is no stats.json is damaged at once. Before: a traceback."""
    stats = shard_of(done, "lower_case") / "stats.json"
    stats.chmod(0o644)
    stats.write_text("")
    for path in done.store.glob("stages/lower_case-*/done/*"):
        path.unlink()
    assert "hpcurate verify" in done.type("status", status=2).stderr


def test_a_damaged_source_is_not_moved(done: Shell) -> None:
    """What was taken in is not made by any stage."""
    shard = shard_of(done, "source")
    (shard / "tasks.jsonl").unlink()
    text = done.type("verify", "--repair", status=1).stdout
    assert "move its folder out of stages/" in text
    assert shard.exists()


def test_only_the_first_faults_of_a_stage_are_printed() -> None:
    """With the number of the others."""
    faults = tuple(Fault("cut", f"0001-{n:06d}", "clip.mp4 is missing") for n in range(SHOWN + 3))
    found = Verification(run="r", shards=9, files=9, faults=faults, unchecked=("write",))
    lines = verify_lines(found, None, "/s", "hpcurate x=1")
    assert SHOWN == sum("clip.mp4" in line for line in lines)
    assert {"  and 3 more; --json lists all", "not checked, because what they read is not complete: write"} <= {*lines}
