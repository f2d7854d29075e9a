"""A run that works is seen to: real stage processes in a real run, of which one is stopped."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from shell import Shell

GATED = """
import os, time
from hpcurate import Stage
from stages.hello import HelloTask


class Gated(Stage[HelloTask, HelloTask]):
    batch_size = 1

    def __init__(self, gate: str) -> None:
        self.gate = gate

    def process(self, tasks):
        while tasks[0].prompt == "slow" and not os.path.exists(self.gate):
            time.sleep(0.05)
        return tasks
"""


def soon(look: Callable[[], Any]) -> Any:
    """What it returns as soon as that is something."""
    deadline = time.monotonic() + 20
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found
    return found


def test_a_stage_moves_within_a_shard_and_a_stopped_worker_is_silent_not_slow(shell: Shell) -> None:
    """Before, it stood at so many shards whatever went on in the next. Here 128 tasks are 64 shards."""
    (shell.cwd / "gated.py").write_text(GATED)
    shell.run(
        "+pipeline=words", f"source.prompts=[{','.join(f'p{n}' for n in range(127))},slow]", "~stages.show", "~stages.lower_case", "~stages.word_count",
        "stages.gated.file=gated.py", f"stages.gated.gate={shell.cwd}/gate", "wait=false", "timing.heartbeat_s=0.2",
        "stages.gated.task_timeout=600", "stages.gated.workers=1",
    )  # fmt: skip

    def stage() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(shell.type("status", "--json").stdout)["stages"]["gated"]
        return found

    found = soon(lambda: (one := stage()).get("progress", 0.0) > 0.99 and one)
    (task,) = found["in_work"]["tasks"]
    assert (1, 1, 0, 63) == (*(found["in_work"][key] for key in ("workers", "shards", "silent")), found["shards_done"])
    assert (600.0, True, 0.0) == (task["limit_s"], task["seconds"] >= 0, task.get("silent_s", 0.0))
    text = shell.type("watch", "--once").stdout
    assert "███████████████████████░   99%   63/64" in text
    assert f"gated: {task['name']} for " in text
    (claim,) = shell.store.glob("stages/gated-*/claims/*/*-000063.1")
    worker = json.loads(claim.read_text())["process"]["pid"]
    os.kill(worker, signal.SIGSTOP)
    try:
        silent = f"gated: no sign of life of worker {task['worker']} on "
        assert f"it had {task['name']} in work" in soon(lambda: silent in (out := shell.type("status").stdout) and out)
    finally:
        os.kill(worker, signal.SIGCONT)
    (shell.cwd / "gate").touch()
    soon(lambda: "in_work" not in stage())
