"""Results of any class of tasks go to a bucket as to a folder, and are seen there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from captioned import caption
from object_server import Bucket

from hpcurate.errors import StageError
from stages.files import ExportTriplets
from stages.results.items import WriteItems
from stages.results.jsonl import WriteJsonl


@pytest.mark.parametrize("cut", [0, 2])
def test_results_lie_in_a_bucket(bucket: Bucket, tmp_path: Path, cut: int) -> None:
    """A record each with its files, one file of all, a list of files; nothing is sent twice, and another's stays."""
    out = f"s3://{bucket.name}/out"
    tasks: list[Any] = [caption(tmp_path, name, masks=[]) for name in ("s/a.mp4", "ü b.mp4")]
    tasks = tasks[:1] if cut else tasks
    bucket.proxy.cut_up = cut
    for stage in (WriteItems(out), WriteJsonl(out, name="{relative}"), ExportTriplets(f"{out}/t.jsonl", "triplets")):
        assert tasks == stage.process(list(tasks))
    assert "s/a.mp4" == json.loads(bucket.read("out/s/a.mp4.json"))["source"]
    assert b"x/thumb.webp" == bucket.read("out/s/a.mp4.thumb.webp")
    assert len(tasks) == len(bucket.read("out/results.jsonl").splitlines())
    triplet = json.loads(bucket.read("out/t.jsonl").splitlines()[0])["thumb"]
    assert f"{out}/files/s/a.mp4.thumb.webp" == triplet["path"]
    assert WriteItems(out).is_executed(tasks[0])
    with pytest.raises(StageError, match=r"is the result of task s/a.mp4 already"):
        WriteItems(out).process([caption(tmp_path, "s/a.mp4", id="other")])
