"""The two commands that are typed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import attrs
from checkout import ROOT

HERE = Path(__file__).resolve().parent
TIMING = {"listing_s": 1.0, "heartbeat_s": 1.0, "lease_s": 10.0, "drain_s": 20.0, "ask_s": 3.0}
"""Short clocks."""


@attrs.define(frozen=True, kw_only=True)
class Text:
    """Stages of our own, with sleeps and fan-out."""

    name = "text"
    documents: int = 40
    sleep_s: float = 0.4

    def command(self, store: Path, output: Path, launcher: str) -> list[str]:
        """What is typed."""
        program = [sys.executable, str(HERE / "typed.py"), str(store), str(output), launcher]
        return [*program, str(self.documents), str(self.sleep_s), json.dumps(TIMING)]


@attrs.define(frozen=True, kw_only=True)
class Video:
    """The video pipeline that comes with hpcurate, over a folder of videos."""

    name = "video"
    videos: Path

    def command(self, store: Path, output: Path, launcher: str) -> list[str]:
        """What is typed."""
        words = [sys.executable, "-m", "hpcurate", "+pipeline=video", f"input={self.videos}"]
        words += [f"store={store}", f"output={output}", f"launcher={launcher}"]
        words += [f"timing.{key}={value}" for key, value in TIMING.items()]
        words += ["stages.probe.shard_tasks=1", "stages.split.shard_tasks=1", "stages.clips.shard_weight=5"]
        words += ["stages.write.shard_tasks=3", *(f"stages.{name}.resources.cpus=1" for name in ("split", "clips"))]
        own = ["launcher.max_workers=3", "launcher.partition=low", "launcher.setup=[sleep 0.3]"]
        return [*words, *(own if launcher == "slurm" else ())]


def real_videos() -> Path | None:
    """Beside the checkout, where there are any."""
    folder = Path(os.environ.get("HPCURATE_TEST_VIDEOS", ROOT.parent / "shared" / "videos"))
    return folder if folder.is_dir() else None
