"""Whole runs from a bucket into a bucket, over a connection that breaks."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from checkout import ROOT
from object_server import Bucket
from object_stages import Publish, ReadFiles

import hpcurate
from hpcurate.source import Files, Source
from hpcurate.source.several import several

PROGRAM = ROOT / "tests" / "support" / "object_stages.py"
NAMES = ["a0.bin", "a1.bin", "sub/ü 0.bin", "sub/ü 1.bin", "sub/x/a.bin"]


def program(folder: Path, source: str, output: str, launcher: str = "inline", hold: str = "") -> subprocess.Popen[str]:
    """The pipeline of `object_stages`, started."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    env = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join([str(ROOT), str(PROGRAM.parent)])}
    words = [sys.executable, str(PROGRAM), str(folder / f"store-{launcher}"), source, output, launcher]
    return subprocess.Popen(
        [*words, *filter(None, [hold])], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for it to end well; what it printed."""
    out, said = process.communicate(timeout=240)
    assert 0 == process.returncode, said
    return out


def filled(bucket: Bucket, folder: Path) -> dict[str, bytes]:
    """The same items in a bucket and in a folder."""
    files = {name: os.urandom(60_000) for name in NAMES}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        bucket.put(f"in/{name}", data)
    return files


def rows(store: Path) -> list[dict[str, object]]:
    """What came out of the first stage, without what is another thing on disk."""
    found = [
        json.loads(line)
        for path in sorted(store.glob("stages/read-*/shards/*/[!.]*/tasks.jsonl"))
        for line in path.read_text().splitlines()
    ]
    return [{k: v for k, v in row.items() if k not in ("path", "mtime_ns", "note", "head")} for row in found]


def copies(folder: Path) -> list[str]:
    """Of objects, on the node."""
    return sorted(path.name for path in (folder / "scratch").rglob("*.bin"))


def run_here(store: Path, source: Source, output: str = "", **more: str) -> str:
    """The pipeline of `object_stages` in this process, or its first stage alone; what it says."""
    lines: list[str] = []
    stages = {"read": ReadFiles(), **({"publish": Publish(output=output)} if output else {})}
    outcome = hpcurate.run(stages, source, store=store, launcher="inline", echo=lines.append, **more)
    assert 0 == outcome.state.exit_status, lines
    return "\n".join(lines)


def test_a_bucket_gives_what_a_folder_gives(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifth request is refused, every third answer and every fourth upload is cut."""
    files = filled(bucket, tmp_path / "in")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    bucket.proxy.busy, bucket.proxy.cut, bucket.proxy.cut_up = 5, 3, 4
    run_here(tmp_path / "store", Files(path=f"s3://{bucket.name}/in"), f"s3://{bucket.name}/out")
    bucket.proxy.busy = bucket.proxy.cut = bucket.proxy.cut_up = 0
    run_here(tmp_path / "disk", Files(path=str(tmp_path / "in")), str(tmp_path / "out"))

    assert rows(tmp_path / "disk") == rows(tmp_path / "store")
    assert len(files) == len(rows(tmp_path / "store"))
    out = tmp_path / "out"
    made = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert made == {key.removeprefix("out/"): bucket.read(key) for key in bucket.keys("out/")}

    reads = [one for one in bucket.proxy.asked if one.method == "GET" and "/in/" in one.target and one.answered]
    begun = [one for one in reads if "range" not in one.headers]
    assert (len(files), len(files)) == (len(begun), len({one.target for one in begun}))
    assert [] == copies(tmp_path)
    written = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"testing-secret-words" not in written
    assert os.fsencode(tmp_path / "scratch") not in b"".join(
        path.read_bytes() for path in (tmp_path / "store").rglob("*.jsonl")
    )


def wait_for(folder: Path, process: subprocess.Popen[str]) -> None:
    """Until there is a copy on the node."""
    until = time.monotonic() + 120
    while not copies(folder):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "no object was copied"
        time.sleep(0.02)


def test_what_a_killed_process_has_copied_is_removed_by_the_next(bucket: Bucket, tmp_path: Path) -> None:
    """And the run is finished as if nothing had happened."""
    filled(bucket, tmp_path / "in")
    hold = tmp_path / "hold"
    hold.touch()
    words = (f"s3://{bucket.name}/in", f"s3://{bucket.name}/out", "inline", str(hold))
    process = program(tmp_path, *words)
    wait_for(tmp_path, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert copies(tmp_path)
    hold.unlink()
    ended(program(tmp_path, *words))
    assert len(NAMES) == len(rows(tmp_path / "store-inline"))
    assert [] == copies(tmp_path)
    assert 2 * len(NAMES) == len(bucket.keys("out/"))


@pytest.mark.long
def test_workers_share_a_bucket_that_breaks(bucket: Bucket, tmp_path: Path) -> None:
    """In stage processes of their own, which look ahead."""
    filled(bucket, tmp_path / "in")
    bucket.proxy.busy, bucket.proxy.cut, bucket.proxy.cut_up = 5, 3, 4
    ended(program(tmp_path, f"s3://{bucket.name}/in", f"s3://{bucket.name}/out", "local"))
    bucket.proxy.busy = bucket.proxy.cut = bucket.proxy.cut_up = 0
    assert 2 * len(NAMES) == len(bucket.keys("out/"))
    assert [] == copies(tmp_path)


def test_an_object_that_is_written_again_is_reported_and_done_again(bucket: Bucket, tmp_path: Path) -> None:
    """Once that is asked for, as with files."""
    for name in ("a.bin", "b.bin"):
        bucket.put(f"in/{name}", b"1")
    source = Files(path=f"s3://{bucket.name}/in")
    run_here(tmp_path / "store", source)
    bucket.put("in/b.bin", b"2")
    assert "1 item changed" in run_here(tmp_path / "store", source)
    run_here(tmp_path / "store", source, changed="redo")
    assert hashlib.sha256(b"2").hexdigest() in {row["digest"] for row in rows(tmp_path / "store")}


def test_buckets_and_folders_are_one_input(bucket: Bucket, tmp_path: Path) -> None:
    """Each item is called by its input."""
    bucket.put("in/a.bin", b"1")
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.bin").write_bytes(b"2")
    source = several(lambda path: Files(path=path), [f"s3://{bucket.name}/in", str(tmp_path / "disk")])
    run_here(tmp_path / "store", source)
    assert {"in/a.bin", "disk/a.bin"} == {row["source"] for row in rows(tmp_path / "store")}
