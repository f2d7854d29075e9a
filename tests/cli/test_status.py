"""`hpcurate status`: the summary, and whether something still drives the run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest
from shell import LOCAL, Shell


def test_status_json_is_the_summary(shell: Shell) -> None:
    """The same keys as `summary.json`, freshly computed; each stage names the folder of its results."""
    shell.type("+pipeline=words", f"store={shell.store}", LOCAL)
    printed = json.loads(shell.type("status", "--json", "--store", str(shell.store)).stdout)
    written = json.loads((shell.store / "runs" / "latest" / "summary.json").read_text())
    assert printed == written
    stage = printed["stages"]["word_count"]
    folder = stage.pop("folder")
    assert all(stage.pop(name) > 0 for name in ("ended", "cpu_seconds", "peak_memory_mb"))
    assert [folder] == [str(path) for path in shell.store.glob("stages/word_count-*")]
    assert f"results: {shell.store}/stages/: " in (text := shell.type("status").stdout)
    assert folder.rpartition("/")[2] in text
    assert stage | {"seconds": 0} == {
        "in": 3, "out": 3, "dropped": 0, "failed": 0, "shards": 3, "shards_done": 3, "seconds": 0, "progress": 1.0,
    }  # fmt: skip


BEAT = (
    "import sys, time\nfrom hpcurate.system.processes import SystemProcesses\nfrom hpcurate.runs.folder import Run\n"
    "from hpcurate.store.layout import Store\nrun = Run(Store(sys.argv[1]), sys.argv[2])\n"
    "for beat in range(1000):\n    run.note_driver(SystemProcesses().mine(), beat)\n    time.sleep(1)\n"
)


def test_a_driver_on_another_host_is_seen_by_what_it_writes(shell: Shell) -> None:
    """While it beats the run is running, though nothing is queued; when it stops, the run is incomplete."""
    shell.run("+pipeline=words", "limit=1")
    run = shell.store / "runs" / "latest"
    for path in shell.store.glob("stages/word_count-*/shards/*"):
        shutil.rmtree(path)  # work is left, as between two rounds
    for path in (*shell.store.glob("stages/word_count-*/rounds/*"), *shell.store.glob("stages/word_count-*/done/*")):
        path.unlink()
    assert "incomplete" in shell.type("status", status=1).stdout
    command = [sys.executable, "-c", BEAT, str(shell.store), run.resolve().name]
    other = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh", *command]
    process = subprocess.Popen(other, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while "elsewhere" not in (run / "driver.json").read_text() and time.monotonic() < deadline:
        if process.poll() is not None:
            error = process.communicate()[1].strip()
            assert "unshare: " in error, error
            pytest.skip(f"only root may have another host name: {error}")
        time.sleep(0.1)
    try:
        assert "  running" in shell.type("status").stdout.splitlines()[0]
    finally:
        process.kill()
        process.communicate()
    assert "incomplete" in shell.type("status", status=1).stdout
