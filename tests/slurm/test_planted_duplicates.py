"""Planted duplicates among real shots: the same are kept on this machine and on a real Slurm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from checkout import ROOT
from planted_shots import FEW, copies_in, shots_of
from real_weights import weights
from shell import Shell
from slurm_fixture import SlurmSite

pytestmark = [pytest.mark.slurm, pytest.mark.long, pytest.mark.video]

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def test_the_same_are_kept_on_this_machine_and_on_slurm(shell: Shell, slurm: SlurmSite, real_videos: Path) -> None:
    """One of each shot, by features of a real network, in clusters; lists, clips and vectors are the same, too."""
    for needed in ("torch", "faiss", "pyarrow"):
        pytest.importorskip(needed, reason="the extras models and dedup are not installed")
    (shell.cwd / "in").mkdir()
    shots = [number for number, _, _ in copies_in(shell.cwd / "in", shots_of(real_videos, FEW), crop=0.03, shift=3)]
    shell.extra = {**slurm.env, "PYTHONPATH": os.fspath(SUPPORT)}
    kept = {}
    for launcher in ("local", "slurm"):
        own = ["wait=true", "timing.ask_s=1", "launcher.partition=cpu"] if launcher == "slurm" else []
        words = [f"store={shell.cwd / launcher}", f"output={launcher}-out", f"launcher={launcher}", *own]
        shell.type(*pipeline(), *words)
        kept[launcher] = kept_in(shell.cwd / f"{launcher}-out")
    assert kept["local"] == kept["slurm"]
    assert sorted(set(shots)) == sorted(source.partition("-")[0] for _, source in kept["slurm"])
    trees = (shell.cwd / f"{launcher}-out" for launcher in kept)
    words = [sys.executable, ROOT / "scripts" / "same-tree", *trees]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def pipeline() -> Iterable[str]:
    """Whole videos as clips, in shards of a few, which two clusters divide."""
    yield from ("+pipeline=video", "input=in", "+dedup=semantic", "stages.dedup_centroids.clusters=2")
    yield from (
        "stages.split.method=stride",
        "stages.split.stride_s=60",
        "stages.split.min_s=1",
        "stages.split.max_s=120",
    )
    yield from ("stages.clips.chain.motion.threshold=0", "+stages.embed._target_=shot_features.ShotFeatures")
    yield from (f"+stages.embed.weights={weights('transnetv2')}", "+stages.embed.place=embedding")
    yield from (f"stages.{name}.shard_tasks=4" for name in ("embed", "dedup_sample", "dedup_assign"))
    yield from (f"stages.{name}.resources.cpus=1" for name in ("split", "clips", "dedup_centroids", "dedup_assign"))
    yield from (f"stages.{name}.resources.memory=1GB" for name in ("dedup_sample", "dedup_centroids", "dedup_assign"))


def kept_in(output: Path) -> list[tuple[str, str]]:
    """(id, source) of the clips that are kept, sorted."""
    from pyarrow import parquet

    rows = parquet.read_table(output / "clips.parquet").to_pylist()
    return sorted((row["span_uuid"], row["source_video"]) for row in rows)
