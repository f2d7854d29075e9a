"""Replays of stages that read from a bucket, and write into one."""

from __future__ import annotations

from pathlib import Path

import pytest
from object_server import Bucket

import hpcurate
from hpcurate import FileTask, Stage, Step
from hpcurate.replay.replay import Replay, replay
from hpcurate.runs.launcher import LAUNCHERS
from hpcurate.source import Files
from stages.files import WriteJson


class Look(Stage[FileTask, FileTask]):
    """Reads a file."""

    version = 1

    def process(self, tasks: list[FileTask]) -> list[FileTask]:
        """Its length."""
        for task in tasks:
            with task.open() as file:
                task.weight = len(file.read())
        return tasks


@pytest.mark.long
def test_nothing_is_written_into_the_bucket(bucket: Bucket, tmp_path: Path) -> None:
    """Objects are read where they are; what is published goes to a scratch folder."""
    bucket.put("in/a.bin", b"aaa")
    output = f"s3://{bucket.name}/out"
    steps = {"look": Step(Look()), "write": Step(WriteJson(output))}
    source = Files(f"s3://{bucket.name}/in")
    done = hpcurate.run(steps, source, store=tmp_path / "store", output=output, launcher="inline")
    bucket.put("out/a.bin.json", b"{}")
    launcher = {"_target_": LAUNCHERS["inline"]}
    for stage, notes in (("look", []), ("write", [f"files that write writes to {output}: not compared"])):
        found = replay(Replay(stage=stage, run=done.run, launcher=launcher))
        assert (1, (), notes) == (found.comparison.same, found.comparison.changes, list(found.notes))
    assert b"{}" == bucket.read("out/a.bin.json")
