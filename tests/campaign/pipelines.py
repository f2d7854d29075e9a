"""The commands that are typed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import attrs
from checkout import ROOT
from documents import document, edited, reordered, with_notice

HERE = Path(__file__).resolve().parent
TIMING = {"listing_s": 1.0, "heartbeat_s": 1.0, "lease_s": 10.0, "drain_s": 20.0, "ask_s": 3.0}
"""Short clocks."""
ON_SLURM = ["launcher.max_workers=3", "launcher.partition=low", "launcher.setup=[sleep 0.3]"]
GROUPS_SHARDS = {"sign": 8, "cut_bands": 8, "kept": 8, "exact": 10, "near": 10, "candidates": 200}
"""Tasks of a shard: ten and more shards of each stage, but for those that read all."""


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

    videos: Path
    packed: bool = False
    """Whether equal files are dropped first, and the clips packed at the end."""

    @property
    def name(self) -> str:
        """As `--pipeline` takes it."""
        return "packed" if self.packed else "video"

    def command(self, store: Path, output: Path, launcher: str) -> list[str]:
        """What is typed."""
        words = [sys.executable, "-m", "hpcurate", "+pipeline=video", f"input={self.videos}"]
        words += [f"store={store}", f"output={output}", f"launcher={launcher}"]
        words += [f"timing.{key}={value}" for key, value in TIMING.items()]
        words += ["stages.probe.shard_tasks=1", "stages.split.shard_tasks=1", "stages.clips.shard_weight=5"]
        words += ["stages.write.shard_tasks=3", *(f"stages.{name}.resources.cpus=1" for name in ("split", "clips"))]
        words += ["+dedup=exact", "+shards=webdataset", "stages.digest.shard_tasks=1"] if self.packed else []
        return [*words, *(ON_SLURM if launcher == "slurm" else ())]


@attrs.define(frozen=True, kw_only=True)
class Groups:
    """The text pipeline: groups, a join, and shards, over a folder of `plant_twins`."""

    name = "groups"
    texts: Path

    def command(self, store: Path, output: Path, launcher: str) -> list[str]:
        """What is typed."""
        words = [sys.executable, "-m", "hpcurate", "+pipeline=text", f"input={self.texts}/*.jsonl"]
        words += [f"store={store}", f"output={output}", f"launcher={launcher}", "+stages.shards.parts=4"]
        words += [f"timing.{key}={value}" for key, value in TIMING.items()]
        words += [f"stages.{name}.shard_tasks={number}" for name, number in GROUPS_SHARDS.items()]
        return [*words, *(ON_SLURM if launcher == "slurm" else ())]


def plant_twins(folder: Path, documents: int = 40) -> None:
    """Write JSONL: of four documents one has a twin but for spaces, one edited, one reordered, one longer."""
    folder.mkdir()
    for start in range(0, documents, 4):
        one, two, three, four = (document(start + n) for n in range(4))
        texts = {"one": one, "two": two, "three": three, "four": four, "spaced": one.replace(" ", "  ")}
        texts |= {"edited": edited(two, 1)[:-40], "reordered": reordered(three), "longer": with_notice(four)}
        rows = [json.dumps({"id": f"{name}{start}", "text": text}) for name, text in texts.items()]
        (folder / f"{start:03d}.jsonl").write_text("".join(f"{row}\n" for row in rows))


Pipeline = Text | Video | Groups


def real_videos() -> Path | None:
    """Beside the checkout, where there are any."""
    folder = Path(os.environ.get("HPCURATE_TEST_VIDEOS", ROOT.parent / "shared" / "videos"))
    return folder if folder.is_dir() else None
