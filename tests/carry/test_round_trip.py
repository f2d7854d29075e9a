"""A run in one store, exported, imported in another: the same command has nothing left to do, and the same output."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from carrying import DONE, NAMES, STAGES, Place, fill

from hpcurate.carry.index import INDEX, Entry, Index


def stamps(store: Path) -> list[tuple[Path, int]]:
    """Each file and folder of the stages, and when it was changed."""
    return sorted((path, path.lstat().st_mtime_ns) for path in (store / "stages").rglob("*"))


def test_in_another_store_nothing_is_left_to_do(origin: Place, archive: Path, other: Place) -> None:
    """Killed in the middle and typed again, the same command executes no task, and the published tree is the same.

    A third time it is there already, and nothing changes.
    """
    other.import_(archive, status=-9, HPCURATE_FAILPOINTS=f"import.list@{other.folder / 'once'}")
    assert [] == list((other.store / "runs").glob("[!.]*/pipeline.json"))
    assert "next: cd " in other.import_(archive)
    assert other.tree() == origin.tree()
    assert len(NAMES) == len(other.tree())
    assert DONE in other.command(origin.input)
    before = stamps(other.store)
    assert "is there already" in other.import_(archive)
    assert before == stamps(other.store)
    assert "is a run of this store already" in origin.import_(archive, status=2)


def test_other_paths_are_named(other: Place, tmp_path: Path) -> None:
    """Input and output are elsewhere, the copies are younger: nothing is executed, and what is added later is."""
    first, out, there, to = Place(tmp_path / "first"), tmp_path / "out", tmp_path / "there", tmp_path / "archive"
    fill(first.input)
    first.command(first.input, f"output={out}")
    first.type("export", "latest", str(to), "--store", str(first.store))
    shutil.move(first.input, other.input)
    for path in other.input.rglob("*"):
        os.utime(path, (1, 1))
    shutil.move(out, tmp_path / "moved")
    other.import_(to, "--path", f"{first.input}={other.input}", "--path", f"{out}={there}")
    assert not out.exists()
    assert other.tree(there) == first.tree(tmp_path / "moved")
    said = other.command(other.input, f"output={there}")
    assert DONE in said
    assert "changed since" not in said
    (other.input / "d.txt").write_text("new")
    assert "1 of them new" in other.command(other.input, f"output={there}")
    assert other.tree(there) == {**first.tree(tmp_path / "moved"), b"d.txt": b"new"}
    assert "was imported with other paths (--path " in other.import_(to, "--anyway", status=2)


def test_a_relative_input_can_be_elsewhere(other: Place, tmp_path: Path) -> None:
    """Then it is looked at there, and the command to type names it; a folder of that name beside the user does not
    matter. A relative output comes from where the run was typed, and goes where the import is.
    """
    first, there, to = Place(tmp_path / "first"), tmp_path / "there", tmp_path / "archive"
    fill(first.cwd / "ten")
    first.inline("+pipeline=carried", "input=ten", "output=out")
    other.type("export", "latest", str(to), "--store", str(first.store))
    fill(other.cwd / "ten")
    fill(there)
    (there / "d.txt").write_text("new")
    moved = ("--path", f"{first.cwd / 'ten'}={there}")
    assert "1 are new" in other.import_(to, *moved, status=2)
    (there / "d.txt").unlink()
    (there / "a.txt").unlink()
    (there / "z.txt").write_text("another size")
    said = other.import_(to, *moved)
    assert f" input={there} " in said
    assert "input: 1 item no longer there" in said
    assert "input: 1 item changed since" in said
    assert other.tree(other.cwd / "out") == first.tree(first.cwd / "out") != {}
    assert DONE in other.command(there, "output=out")


def test_several_inputs_keep_their_paths(other: Place, tmp_path: Path) -> None:
    """Copies elsewhere are other inputs, which is said; links at the old places are not."""
    first, to, names = Place(tmp_path / "first"), tmp_path / "archive", ("one", "two")
    for name in names:
        (first.folder / name).mkdir()
        (first.folder / name / "a.txt").write_text(name)
    both = f"input=[{','.join(str(first.folder / name) for name in names)}]"
    first.inline("+pipeline=carried", both)
    first.type("export", "latest", str(to), "--store", str(first.store))
    for name in names:
        shutil.move(first.folder / name, other.folder / name)
        os.utime(other.folder / name / "a.txt", (1, 1))
    said = other.import_(to, "--path", f"{first.folder}={other.folder}", status=2)
    assert "several inputs are known by their absolute paths" in said
    for name in names:
        (first.folder / name).symlink_to(other.folder / name)
    other.import_(to, "--path", f"{first.folder}={first.folder}")
    said = other.inline("+pipeline=carried", both).stderr
    assert DONE in said
    assert "changed since" not in said


def test_files_that_stayed_are_made_again_where_they_are_needed(origin: Place, other: Place, tmp_path: Path) -> None:
    """With `--files none` nothing is executed by the same command, and what needs files makes them."""
    to = tmp_path / "rows"
    origin.type("export", "carried", str(to), "--files", "none", "--store", str(origin.store))
    said = other.import_(to)
    assert "made again if a stage needs them: copy" in said
    assert "--files none: what it published stayed where it was" in said
    assert {} == other.tree()
    assert DONE in other.command(origin.input)
    assert "files of copy (5 shards)" in other.type("verify", "--store", str(other.store)).stdout
    words = ("results", "copy", "latest", "--store", str(other.store), "--to")
    assert "command with rerun=copy makes" in other.type(*words, str(tmp_path / "no"), status=2).stderr
    other.command(origin.input, "rerun=put")
    assert other.tree() == origin.tree()
    other.type(*words, str(tmp_path / "files"))
    assert "nothing is missing" in other.type("verify", "--store", str(other.store)).stdout


def test_how_much_goes_along(origin: Place, archive: Path, tmp_path: Path) -> None:
    """Files of stages only with all, where none is a last stage's; the output unless none. The same run is the same
    bytes, as readable as the umask says.
    """
    umask = os.umask(0)
    os.umask(umask)
    for files in ("none", "outputs"):
        to = tmp_path / files
        origin.type("export", "carried", str(to), "--files", files, "--store", str(origin.store))
        top = {str(path.relative_to(to)).partition("/")[0] for path in to.rglob("*") if path.is_file()}
        assert top == {"index.jsonl", "run", "stages", *["output"] * (files == "outputs")}
        assert [] == list(to.glob("stages/*/shards/*/files"))
        assert {"stage.json", "lists", "shards"} >= {path.name for path in to.glob("stages/*/*")}
        assert stat.S_IMODE((to / "index.jsonl").stat().st_mode) == 0o666 & ~umask
    again = tmp_path / "again.tar.gz"
    origin.type("export", "carried", str(again), "--files", "all", "--store", str(origin.store))
    assert again.read_bytes() == archive.read_bytes()
    assert "is there already" in origin.type("export", "carried", str(again), status=2).stderr


def test_what_would_be_another_run_here_is_refused(origin: Place, archive: Path, tmp_path: Path) -> None:
    """Other code, an input that is not there or has other items, another digest: by name, and nothing is written."""
    place = Place(tmp_path / "other", code=STAGES.replace("version = 1", "version = 2", 1))
    said = place.import_(archive, status=2)
    assert 'stages.copy: is not what it was in the archive (version: "v1" → "v2")' in said
    place = Place(tmp_path / "same code")
    elsewhere = ("--path", f"{origin.input}={place.input}")
    assert "if it is elsewhere here, add --path OLD=NEW" in place.import_(archive, *elsewhere, status=2)
    assert "nothing was imported" in place.import_(archive, "--digest", "0" * 64, status=2)
    assert not place.store.exists()
    fill(place.input)
    (place.input / "d.txt").write_text("new")
    assert "1 are new" in place.import_(archive, *elsewhere, status=2)
    assert [] == list((place.store / "stages").iterdir())
    assert [] == list((place.store / "trash").iterdir())


@pytest.mark.parametrize("where", ["shard", "list", "output", "configuration"])
def test_one_changed_byte_is_refused_by_name(origin: Place, other: Place, exported: Path, where: str) -> None:
    """Wherever it is, nothing is imported."""
    patterns = {
        "shard": "stages/put-*/shards/*/tasks.jsonl",
        "list": "stages/copy-*/lists/*",
        "output": "output/a.txt",
        "configuration": "run/config.yaml",
    }
    path = sorted(exported.glob(patterns[where]))[0]
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        said = other.import_(exported, status=2)
    finally:
        path.write_bytes(before)
    assert f"'{path.relative_to(exported)}' was changed" in said
    assert not other.store.exists()


@pytest.mark.parametrize("gone", ["stages/copy-*/shards/*/*/files/*/copy.txt", "stages/put-*/shards/*/*/tasks.jsonl"])
def test_what_is_gone_is_named_by_export(other: Place, origin: Place, tmp_path: Path, gone: str) -> None:
    """A purge took a file of a shard: no archive is made that would lack it."""
    shutil.copytree(origin.store, other.store, symlinks=True)
    path = sorted(other.store.glob(gone))[0]
    path.unlink()
    words = ("export", "latest", str(tmp_path / "archive"), "--files", "all", "--store", str(other.store))
    said = other.type(*words, status=2).stderr
    assert f"{path}: is gone" in said
    assert "verify --repair" in said
    assert not (tmp_path / "archive").exists()


def rewritten(archive: Path, to: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """The archive with another `pipeline.json`, and an index that fits: as somebody hostile would write it."""
    shutil.copytree(archive, to)
    path = to / "run" / "pipeline.json"
    plain = json.loads(path.read_bytes())
    edit(plain)
    path.write_text(json.dumps(plain))
    index = Index.parse((to / INDEX).read_bytes(), "")
    data = path.read_bytes()
    mine = Entry("run/pipeline.json", len(data), hashlib.sha256(data).hexdigest())
    entries = tuple(mine if one.path == mine.path else one for one in index.entries)
    (to / INDEX).write_bytes(Index(index.header, entries).to_bytes())
    return to


def named_outside(plain: dict[str, Any]) -> None:
    """A stage whose folder lies somewhere else."""
    plain["pipeline"]["stages"][0].update(name="../../x", folder=f"../../x-{'0' * 12}", fingerprint="0" * 64)


def source_outside(plain: dict[str, Any]) -> None:
    """The same of the source."""
    plain["pipeline"]["source"]["folder"] = "../../../x"


def published_at_home(plain: dict[str, Any]) -> None:
    """An output that would go where nobody has said."""
    plain["output"] = "/root/.ssh"


def published_hidden(plain: dict[str, Any]) -> None:
    """One beside whoever types, where nobody looks."""
    plain["output"] = ".ssh"


def without_stages(plain: dict[str, Any]) -> None:
    """Nothing that anybody did."""
    plain["pipeline"]["stages"] = []


def listed_nowhere(plain: dict[str, Any]) -> None:
    """A list of the source whose name leads elsewhere."""
    plain["source_lists"] = ["../../../../x"]


def half_a_character(plain: dict[str, Any]) -> None:
    """A text that is no UTF-8 where a number is expected."""
    plain["pipeline"]["stages"][0]["workers"] = "\ud800"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (without_stages, "has no stage"),
        (listed_nowhere, "x.jsonl', which is not in it"),
        (half_a_character, "another hpcurate wrote it"),
        (named_outside, "is no folder of a stage"),
        (source_outside, "is no folder of a stage"),
        (published_hidden, "say where that is to be here"),
        (published_at_home, "say where that is to be here, --path /root/.ssh=/root/.ssh"),
    ],
)
def test_a_hostile_run_writes_nowhere(
    exported: Path, other: Place, tmp_path: Path, edit: Callable[[dict[str, Any]], None], words: str
) -> None:
    """Also with --anyway: names that become paths are looked at first."""
    said = other.import_(rewritten(exported, tmp_path / "hostile", edit), "--anyway", status=2)
    assert words in said
    assert not other.store.exists()


def test_a_secret_stays_here(origin: Place, other: Place, tmp_path: Path) -> None:
    """One that somebody has written into a note, or into code: the export names the file and the variable."""
    shutil.copytree(origin.store, other.store, symlinks=True)
    other.type("note", "latest", "the token is s3cr3t-of-somebody", "--store", str(other.store))
    words = ("export", "latest", str(tmp_path / "archive"), "--store", str(other.store))
    said = other.type(*words, status=2, HF_TOKEN="s3cr3t-of-somebody").stderr
    assert "note.txt: has the value of $HF_TOKEN" in said
    assert "s3cr3t" not in said
    assert not (tmp_path / "archive").exists()
