"""Stages that read files of a source and publish results; run as a program so that tests can kill it.

`python tests/support/object_stages.py STORE INPUT OUTPUT LAUNCHER [--hold FILE]`
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path

import attrs

from hpcurate import File, FileTask, Stage


@attrs.define(kw_only=True)
class ReadFile(FileTask):
    """A file and what is in it."""

    digest: str = ""
    note: str = ""
    head: File | None = None


class ReadFiles(Stage[FileTask, ReadFile]):
    """Opens each file by its path; its name is that of the object."""

    version = 1
    batch_size = 2

    def __init__(self, hold: str = "") -> None:
        self.hold = hold

    def process(self, tasks: list[FileTask]) -> list[ReadFile]:
        """Waits in the middle as long as the file `hold` is there."""
        out = []
        for task in tasks:
            data = Path(task.path).read_bytes()
            assert len(data) == task.size, (len(data), task.size)
            assert os.path.basename(task.path) == os.path.basename(task.source), task.path
            if data.startswith(b"bad"):
                raise ValueError(f"{task.path}: is bad")
            while self.hold and os.path.exists(self.hold):
                time.sleep(0.02)
            read = self.child(
                task, ReadFile, id=task.id, source=task.source, path=task.path, size=task.size, mtime_ns=task.mtime_ns,
                digest=hashlib.sha256(data).hexdigest(), note=f"read {task.path}, all of it",
            )  # fmt: skip
            read.head = self.file(task, "head.bin")
            Path(read.head).write_bytes(data[:50_000])
            out.append(read)
        return out


class Publish(Stage[ReadFile, ReadFile]):
    """Writes results as the shipped stages do; opens nothing of the source."""

    version = 1
    publishes = True
    source_files = ()

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, tasks: list[ReadFile]) -> list[ReadFile]:
        """The same."""
        from stages.publish import publish_bytes, publish_file

        for task in tasks:
            assert task.head is not None
            publish_file(os.fspath(task.head), os.path.join(self.output, f"{task.source}.head"))
            publish_bytes(
                json.dumps([task.digest, task.size]).encode(), os.path.join(self.output, f"{task.source}.json")
            )
        return tasks


def main() -> int:
    """Run, and leave with the state's exit status."""
    import hpcurate
    from hpcurate.planning.build import Step
    from hpcurate.planning.options import StageOptions
    from hpcurate.planning.pipeline import Timing
    from hpcurate.source import Files

    store, source, output, launcher, *rest = sys.argv[1:]
    shape = StageOptions(shard_tasks=4, workers=2, resources={"cpus": 1, "memory": "200MB", "time": "5m"})
    outcome = hpcurate.run(
        {
            "read": Step(ReadFiles(hold=rest[0] if rest else ""), shape),
            "publish": Step(Publish(output=output), shape),
        },
        Files(path=source),
        store=store,
        launcher=launcher,
        output=output,
        timing=Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=10.0, drain_s=20.0, ask_s=5.0),
        echo=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(outcome.summary))
    return outcome.state.exit_status


if __name__ == "__main__":
    from object_stages import main as run_it  # by its own name: stages are constructed again elsewhere

    sys.exit(run_it())
