"""From videos to tars and back: real clips, with processes that are killed, growth, and two launchers."""

from __future__ import annotations

import glob
import io
import json
from pathlib import Path
from typing import Any

import av
import pytest
from shard_stages import KilledOnce, Label, caption_of, vector_of
from video_help import make_video

import hpcurate
from hpcurate import Chain, Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Timing
from hpcurate.source import Files
from stages.shards.webdataset import WebDataset
from stages.video.cut import Cut
from stages.video.probe import Probe
from stages.video.split import Split

pytestmark = pytest.mark.video


TIMING = Timing(listing_s=0.5, heartbeat_s=0.5, lease_s=5.0, drain_s=5.0, ask_s=2.0)
"""So that the killed one is soon replaced."""


def run(folder: Path, place: str, launcher: str, packer: type[WebDataset]) -> Any:
    """Clips of half a second of all videos in `videos`, two in a tar."""
    small = StageOptions(resources={"cpus": 1, "memory": "500MB", "time": "5m"})
    stages = {
        "probe": Step(Probe(), small),
        "split": Step(Split(method="stride", stride_s=0.5, min_s=0.2), small),
        "clips": Step(Chain([Cut(preset="ultrafast"), Label()]), small),
        "shards": Step(packer(str(folder / place / "out"), samples=2), small),
    }
    source = Files(str(folder / "videos"), extensions=["mp4"])
    outcome = hpcurate.run(
        stages, source, store=folder / "store", output=folder / place, launcher=launcher, timing=TIMING, wait=True
    )  # fmt: skip
    assert outcome.state.exit_status == 0, outcome.summary
    return outcome


def tree(folder: Path) -> dict[str, bytes]:
    """Path → bytes of all files, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def numbers(folder: Path) -> dict[Path, int]:
    """Each numbered file with its inode."""
    return {path: path.stat().st_ino for path in folder.rglob("0*")}


def test_clips_are_packed_killed_grown_and_read_back(tmp_path: Path) -> None:
    """Two bins; the tree after a kill is that of an undisturbed run; a further video adds tars and changes none."""
    webdataset, datasets = pytest.importorskip("webdataset"), pytest.importorskip("datasets")
    (tmp_path / "videos").mkdir()
    make_video(tmp_path / "videos" / "wide.mp4", frames=60, sound=None)
    make_video(tmp_path / "videos" / "high.mp4", frames=48, width=96, height=128, sound=None)
    run(tmp_path, "whole", "inline", WebDataset)
    run(tmp_path, "killed", "local", KilledOnce)  # the clips are there: it packs
    out = tmp_path / "killed" / "out"
    assert Path(f"{out}.killed").exists()
    assert tree(out) == tree(tmp_path / "whole" / "out")
    assert {path.parent.relative_to(out).as_posix() for path in out.rglob("*.tar")} == {
        "4x3/under480p/under5s", "3x4/under480p/under5s"
    }  # fmt: skip

    before = numbers(out)
    make_video(tmp_path / "videos" / "also.mp4", frames=36, sound=None)
    clips = {clip.id: clip for clip in run(tmp_path, "killed", "inline", KilledOnce).tasks("clips")}
    assert before.items() <= numbers(out).items()
    added = numbers(out).keys() - before.keys()
    assert {path.parent.relative_to(out).as_posix() for path in added} == {"4x3/under480p/under5s"}

    tars = sorted(glob.glob(str(out / "**" / "*.tar"), recursive=True))
    samples = {one["__key__"]: one for one in webdataset.WebDataset(tars, shardshuffle=False).decode()}
    assert samples.keys() == clips.keys()
    assert len(clips) == 5 + 4 + 3
    table = datasets.load_dataset("webdataset", data_files=tars, split="train", cache_dir=str(tmp_path / "cache"))
    rows = {row["__key__"]: row for row in table.cast_column("mp4", datasets.Video(decode=False))}
    assert rows.keys() == clips.keys()
    for name, clip in clips.items():
        for read in (samples[name], rows[name]):
            assert read["json"]["windows"][0]["caption"] == caption_of(name)
            assert read["json"]["sha256"] == clip.sha256
            assert list(read["hash.npy"]) == pytest.approx(vector_of(name))
        assert samples[name]["mp4"] == rows[name]["mp4"]["bytes"] == Path(clip.clip).read_bytes()
        with av.open(io.BytesIO(samples[name]["mp4"])) as container:
            assert sum(1 for _ in container.decode(video=0)) == 12
    assert json.loads((out / "4x3/under480p/under5s/wids.json").read_text())["shardlist"][-1]["nsamples"] in (1, 2)
