"""Whole runs from a bucket into a bucket, over a connection that breaks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkout import ROOT
from object_server import Bucket

PROGRAM = ROOT / "tests" / "support" / "object_stages.py"
NAMES = [f"a{n}.bin" for n in range(4)] + [f"sub/ü {n}.bin" for n in range(4)]


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


def test_a_bucket_gives_what_a_folder_gives(bucket: Bucket, tmp_path: Path) -> None:
    """Every fifth request is refused, every third answer and every fourth upload is cut."""
    files = filled(bucket, tmp_path / "in")
    bucket.proxy.busy, bucket.proxy.cut, bucket.proxy.cut_up = 5, 3, 4
    ended(program(tmp_path, f"s3://{bucket.name}/in", f"s3://{bucket.name}/out"))
    (tmp_path / "disk").mkdir()
    ended(program(tmp_path / "disk", str(tmp_path / "in"), str(tmp_path / "out")))
    bucket.behave()

    assert rows(tmp_path / "disk" / "store-inline") == rows(tmp_path / "store-inline")
    assert len(files) == len(rows(tmp_path / "store-inline"))
    made = {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    made = {name: data for name, data in made.items() if not os.path.isdir(tmp_path / "out" / name)}
    assert sorted(made) == [key.removeprefix("out/") for key in bucket.keys("out/")]
    assert made == {name: bucket.read(f"out/{name}") for name in made}

    whole = [one for one in bucket.proxy.asked if one.target.endswith(".bin") and one.method == "GET" and one.answered]
    assert len(files) == len([one for one in whole if "range" not in one.headers]), "each is begun once"
    assert [] == copies(tmp_path)
    written = b"".join(path.read_bytes() for path in tmp_path.glob("store-inline/**/*") if path.is_file())
    assert b"testing-secret-words" not in written


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
    bucket.behave()
    assert 2 * len(NAMES) == len(bucket.keys("out/"))
    assert [] == copies(tmp_path)
