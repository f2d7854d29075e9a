"""A run in one store, exported, imported in another: the same command has nothing left to do, and the same output."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from pathlib import Path

import pytest
from carrying import NAMES, STAGES, Place, fill

DONE = "nothing to do: every shard was committed before, none was attempted"


def test_in_another_store_nothing_is_left_to_do(origin: Place, archive: Path, other: Place) -> None:
    """The same command executes no task, and the published tree is the same."""
    said = other.import_(archive)
    assert other.tree() == origin.tree()
    assert len(NAMES) == len(other.tree())
    assert DONE in other.command(origin.input)
    assert other.tree() == origin.tree()
    assert "next: cd " in said
    other.type("verify", "--store", str(other.store))


def test_again_it_is_there_already(origin: Place, archive: Path, other: Place) -> None:
    """And nothing changes, also after the command was typed."""
    other.import_(archive)
    other.command(origin.input)
    before = sorted((path, path.lstat().st_mtime_ns) for path in (other.store / "stages").rglob("*"))
    assert "is there already" in other.import_(archive)
    assert before == sorted((path, path.lstat().st_mtime_ns) for path in (other.store / "stages").rglob("*"))
    assert "is a run of this store already" in origin.import_(archive, status=2)


def test_other_paths_are_named(origin: Place, archive: Path, other: Place) -> None:
    """Input and output are elsewhere, the copies are younger; and from there the run goes on to a third place."""
    fill(other.input)
    assert "no such folder" not in other.import_(archive, "--anyway", "--path", f"{origin.input}={other.input}")
    assert DONE in other.command(other.input)
    assert "changed since" not in other.command(other.input)
    (other.input / "d.txt").write_text("new")
    assert "1 of them new" in other.command(other.input)
    assert other.tree() == {**origin.tree(), b"d.txt": b"new"}


def test_a_run_with_a_folder_for_its_output(other: Place, tmp_path: Path) -> None:
    """`output=` is a part of what the run is: it maps, as the input does."""
    first, out, there, to = Place(tmp_path / "first"), tmp_path / "out", tmp_path / "there", tmp_path / "archive"
    fill(first.input)
    first.command(first.input, f"output={out}")
    first.type("export", "latest", str(to), "--store", str(first.store))
    shutil.move(out, tmp_path / "moved")
    other.import_(to, "--path", f"{out}={there}")
    assert not out.exists()
    assert other.tree(there) == first.tree(tmp_path / "moved")
    assert DONE in other.command(first.input, f"output={there}")


def test_files_that_stayed_are_made_again_where_they_are_needed(origin: Place, other: Place, tmp_path: Path) -> None:
    """With `--files none` nothing is executed by the same command, and what needs files makes them."""
    to = tmp_path / "rows"
    origin.type("export", "carried", str(to), "--files", "none", "--store", str(origin.store))
    assert "made again if a stage needs them: copy" in other.import_(to)
    assert {} == other.tree()
    assert DONE in other.command(origin.input)
    other.command(origin.input, "rerun=put")
    assert other.tree() == origin.tree()


@pytest.mark.parametrize("files", ["none", "outputs", "all"])
def test_how_much_goes_along(origin: Place, tmp_path: Path, files: str) -> None:
    """Files of stages only with all, as these are none of a last stage; the output unless none."""
    to = tmp_path / "archive"
    origin.type("export", "carried", str(to), "--files", files, "--store", str(origin.store))
    found = {str(path.relative_to(to)) for path in to.rglob("*") if path.is_file()}
    assert (files == "all") == any("/files/" in name for name in found)
    assert (files != "none") == any(name.startswith("output/") for name in found)
    kinds = {re.sub(r"^(stages/)[^/]+/|^(run/code-|output/).*", r"\1\2", name).partition("/")[2] for name in found}
    assert not [kind for kind in kinds if kind.startswith(("claims", "rounds", "workers", "submissions", "driver"))]


def test_an_archive_is_as_readable_as_the_umask_says(origin: Place, archive: Path, tmp_path: Path) -> None:
    """It is there to be passed on; the same run is the same bytes."""
    to = tmp_path / "again.tar.gz"
    origin.type("export", "carried", str(to), "--files", "all", "--store", str(origin.store))
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(to.stat().st_mode) == 0o666 & ~umask
    assert to.read_bytes() == archive.read_bytes()


def test_other_code_is_named(archive: Path, tmp_path: Path) -> None:
    """A stage with another version would not find its results: refused, and nothing was written."""
    place = Place(tmp_path / "other", code=STAGES.replace("version = 1", "version = 2", 1))
    said = place.import_(archive, status=2)
    assert 'stages.copy: is not what it was in the archive (version: "v1" → "v2")' in said
    assert not place.store.exists()
    assert "nobody has looked" in place.import_(archive, "--anyway")
    assert "copy" in place.type("status", "--store", str(place.store)).stdout


def test_another_input_is_refused(origin: Place, archive: Path, other: Place) -> None:
    """Not there, or with items that the run has not: the command would work on these."""
    missing = other.import_(archive, "--path", f"{origin.input}={other.input}", status=2)
    assert "if it is elsewhere here, add --path OLD=NEW" in missing
    assert not other.store.exists()
    fill(other.input)
    (other.input / "d.txt").write_text("new")
    assert "1 are new" in other.import_(archive, "--path", f"{origin.input}={other.input}", status=2)
    assert [] == list((other.store / "stages").iterdir())
    assert [] == list((other.store / "trash").iterdir())


def test_a_digest_can_be_asked_for(origin: Place, archive: Path, other: Place, tmp_path: Path) -> None:
    """The one that export printed."""
    to = tmp_path / "again.tar.gz"
    words = ("export", "carried", str(to), "--files", "all", "--store", str(origin.store), "--json")
    digest = json.loads(origin.type(*words).stdout)["sha256"]
    assert "nothing was imported" in other.import_(archive, "--digest", "0" * 64, status=2)
    other.import_(archive, "--digest", digest)


def test_what_is_in_the_place_of_an_archive_stays(origin: Place, archive: Path) -> None:
    """A second export to the same name replaces nothing."""
    before = archive.read_bytes()
    words = ("export", "carried", str(archive), "--store", str(origin.store))
    assert "is there already" in origin.type(*words, status=2).stderr
    assert archive.read_bytes() == before
