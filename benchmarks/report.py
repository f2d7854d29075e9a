"""The page of a large run, beside reading its rows: `benchmarks/report.py [--clips 100000]`.

The rows of the video pipeline are made up, the commits are real: a tenth of the clips is dropped with their measures,
each other one has a preview. Whole processes, in turns; warm page cache. Not equal: the peer, msgspec in one process,
keeps nothing of what it decodes, and looks at no picture.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from big_store import begin
from PIL import Image, ImageFilter
from rounds import Command, in_turns, parser, scratch, table

from hpcurate import Chain, stable_id
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.source import Files
from hpcurate.store.rows import codec
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import ShardStats
from stages.video.cut import Cut
from stages.video.motion import Motion
from stages.video.preview import Preview
from stages.video.probe import Probe
from stages.video.quality import Quality
from stages.video.split import Split
from stages.video.tasks import ClipTask, VideoTask

PER_VIDEO, PER_SHARD, THRESHOLD = 100, 100, 0.25
Rows = list[dict[str, Any]]


def make(folder: Path, clips: int) -> str:
    """A run of the video pipeline without its output, with so many clips, in a store that is returned."""
    videos, root = folder / "videos", os.fspath(folder / "store")
    videos.mkdir()
    for number in range(clips // PER_VIDEO):
        (videos / f"v{number:05}.mp4").touch()
    chain = Chain([Cut(), Motion(threshold=THRESHOLD), Quality(), Preview()])
    steps = {
        "probe": Step(Probe(), StageOptions(shard_tasks=64)),
        "split": Step(Split(), StageOptions(shard_tasks=1)),
        "clips": Step(chain, StageOptions(shard_tasks=PER_SHARD)),
    }
    driver, film = begin(root, Files(os.fspath(videos)), steps), make_preview(folder)
    names = sorted(path.name for path in videos.iterdir())
    rows: Rows = [{"id": stable_id(name), "source": name, "path": f"{videos}/{name}"} for name in names]
    for stage in driver.frozen.pipeline.stages:
        driver.observer.look()
        lists = driver.observer.missing_lists(stage)
        rows = commit(driver.observer.store(stage.folder), stage, lists, iter(rows), film)
    return root


def make_preview(folder: Path) -> str:
    """Pictures that are as hard to store as a film."""
    noise = [Image.effect_noise((256, 144), 30 + 10 * n).convert("RGB") for n in range(24)]
    pictures = [picture.filter(ImageFilter.GaussianBlur(2)) for picture in noise]
    pictures[0].save(folder / "preview.webp", save_all=True, append_images=pictures[1:], duration=250)
    return os.fspath(folder / "preview.webp")


def commit(stage: StageStore, planned: PlannedStage, lists: Any, given: Iterator[dict[str, Any]], preview: str) -> Rows:
    """All shards of a stage; what it made."""
    made: Rows = []
    for name, lines in lists.items():
        for line in stage.lists.write(name, lines):
            path = stage.commits.begin(line.id, 1, "n")
            taken = [next(given) for _ in range(line.count)]
            target = os.path.relpath(stage.folder.shard(line.id), os.path.dirname(stage.folder.path))
            kept, dropped = MAKERS[planned.name](taken, target, path, preview)
            write(path, "tasks", kept)
            write(path, "dropped", dropped)
            stats = ShardStats(
                shard=line.id, nonce="n", weight_out=float(len(kept)), tasks_in=len(taken), tasks_out=len(kept),
                passed=len(taken) - len(dropped), dropped=len(dropped), seconds=20.0, cpu_seconds=30.0,
                reasons={"motion below 0.25": len(dropped)} if dropped else {}, attempt=1, worker="w-0-r0-x",
            )  # fmt: skip
            stage.commits.commit(path, stats)
            made += kept
    return made


def write(path: str, name: str, rows: Rows) -> None:
    """Rows of one file."""
    Path(path, f"{name}.jsonl").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def probed(given: Rows, folder: str, path: str, preview: str) -> tuple[Rows, Rows]:
    """The videos."""
    one = VideoTask(id="x", source="", path="", width=1920, height=1080, fps_num=24, fps_den=1, frames=0,
                    duration_s=0.0, codec="h264", pix_fmt="yuv420p")  # fmt: skip
    plain = json.loads(codec(VideoTask).encode(one))
    return [{**plain, **row, "frames": 24 * (100 + n), "duration_s": 100.0 + n} for n, row in enumerate(given)], []


def split(given: Rows, folder: str, path: str, preview: str) -> tuple[Rows, Rows]:
    """Clips of them."""
    one = ClipTask(id="x", source="", path="", start_s=0.0, end_s=0.0, start_pts=0, end_pts=0, time_base_num=1,
                   time_base_den=12288, start_frame=0, end_frame=0, width=1920, height=1080, fps_num=24, fps_den=1,
                   source_width=1920, source_height=1080, source_codec="h264")  # fmt: skip
    plain = json.loads(codec(ClipTask).encode(one))
    return [
        {**plain, "id": stable_id(row["id"], n), "source": row["source"], "path": row["path"], "start_s": 4.0 * n,
         "end_s": 4.0 * n + 4, "start_frame": 96 * n, "end_frame": 96 * n + 96}
        for row in given for n in range(PER_VIDEO)
    ], []  # fmt: skip


def cut(given: Rows, folder: str, path: str, preview: str) -> tuple[Rows, Rows]:
    """The same with measures and previews; those that stand still are dropped."""
    kept, dropped = [], []
    files = Path(path, "files")
    files.mkdir()
    own = shutil.copy(preview, files / "preview.webp")  # a file may have only so many names
    for row in given:
        draw = random.Random(row["id"])
        row = {**row, "motion": round(draw.lognormvariate(0.3, 1.3), 4)}
        if row["motion"] < THRESHOLD:
            drop = {"id": row["id"], "input": True, "stage": "Motion", "reason": "motion below 0.25"}
            dropped.append({**drop, "value": row["motion"], "threshold": THRESHOLD, "measure": "motion", "task": row})
            continue
        os.link(own, files / f"{row['id']}.webp")
        kept.append({
            **row, "sharpness": round(draw.lognormvariate(4, 1), 3), "brightness": round(draw.gauss(110, 40), 3),
            "black": 0.0, "frozen": round(draw.random() ** 6, 4), "bytes": draw.randrange(10**5, 10**6), "frames": 96,
            "preview": f"{folder}/files/{row['id']}.webp",
        })  # fmt: skip
    return kept, dropped


READING = "reading the rows"
MAKERS = {"probe": probed, "split": split, "clips": cut}
READ = (
    "import msgspec, pathlib, sys; d = msgspec.json.Decoder(); "
    "[d.decode_lines(p.read_bytes()) for p in pathlib.Path(sys.argv[1]).glob('stages/*/shards/*/*/*.jsonl')]"
)


def main() -> None:
    """Print the table."""
    options = parser(__doc__, folder=True)
    options.add_argument("--clips", type=int, default=100_000, help="(default: 100000)")
    given = options.parse_args()
    with scratch(given.dir) as folder:
        began = time.perf_counter()
        root, page = make(folder, given.clips), folder / "page.html"
        print(f"{given.clips} clips, made in {time.perf_counter() - began:.0f} s\n", flush=True)
        ways = {
            "`python -c pass`": Command([sys.executable, "-c", "pass"]),
            READING: Command([sys.executable, "-c", READ, root]),
            "`hpcurate report`": Command(
                [sys.executable, "-m", "hpcurate", "report", "--store", root, "--output", os.fspath(page)]
            ),
        }
        print(f"{table(in_turns(ways, given.repeat), READING)}\n\npage: {page.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
