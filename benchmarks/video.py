"""Clips a second: cut by encoding, cut by copying packets, and decoding only, in one process each; then a filter.

    python benchmarks/video.py [FOLDER]      default: HPCURATE_TEST_VIDEOS; without it samples are made

Spans of two seconds of every video that opens. One warm-up, then the best of three. The filter is `Motion` with a
threshold that drops half of the clips: after they are encoded, which another stage between causes, and before that;
seconds of CPU, once.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hpcurate import Chain, FileTask, Stage, stable_id
from hpcurate.testing import try_stage
from stages.video.cut import Cut
from stages.video.media.decode import open_video
from stages.video.motion import Motion
from stages.video.probe import Probe
from stages.video.split import Split
from stages.video.tasks import ClipTask

ROOT = Path(__file__).resolve().parent.parent


def clips_of(folder: Path, scratch: Path) -> list[ClipTask]:
    """Spans of two seconds of every video that opens."""
    files = [
        FileTask(id=stable_id(p.name), source=p.name, path=str(p), size=p.stat().st_size, mtime_ns=0)
        for p in sorted(folder.glob("*.mp4"))
    ]
    videos = try_stage(Probe(), files, scratch / "probe").tasks
    return list(try_stage(Split(method="stride", stride_s=2), videos, scratch / "split").tasks)


class Between(Stage[ClipTask, ClipTask]):
    """Does nothing; Cut cannot ask the filters behind it, and encodes everything."""

    version = 1

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """The same clips."""
        return tasks


def show_filters(clips: list[ClipTask], scratch: Path) -> None:
    """The two orders, with a threshold that drops half of the clips."""
    moves = try_stage(Chain([Cut(preset="ultrafast"), Motion(0)]), list(clips), scratch / "motion").tasks
    half = Motion(statistics.median(clip.motion for clip in moves))
    for name, between in (("encode, then drop half", [Between()]), ("drop half, then encode", [])):
        started = time.process_time()
        kept = try_stage(Chain([Cut(), *between, half]), list(clips), scratch / name).tasks
        print(f"{name:<22} {time.process_time() - started:6.2f} s of CPU, {len(kept)} clips kept")


def decode_all(clips: list[ClipTask]) -> None:
    """Every frame of every video, once."""
    for path in dict.fromkeys(clip.path for clip in clips):
        with open_video(path, path) as video:
            for _ in video.decode(video.packets()):
                pass


def seconds(work: Callable[[int], None]) -> float:
    """The best of three, after one that does not count."""
    found = []
    for number in range(4):
        started = time.perf_counter()
        work(number)
        found.append(time.perf_counter() - started)
    return min(found[1:])


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("HPCURATE_TEST_VIDEOS")
        folder = Path(given) if given else scratch / "samples"
        if not given:
            subprocess.run([sys.executable, str(ROOT / "scripts" / "make-samples"), str(folder)], check=True)
        clips = clips_of(folder, scratch)
        stages: dict[str, Stage[ClipTask, ClipTask]] = {"encode (x264 fast)": Cut(), "copy packets": Cut(mode="copy")}
        total = sum(clip.duration_s for clip in clips)
        print(f"{len(clips)} clips, {total:.1f} s of video, {os.cpu_count()} cores")
        spent = seconds(lambda _: decode_all(clips))
        print(f"{'decode only':<22} {spent:6.2f} s  {total / spent:6.1f} x real time")
        for name, stage in stages.items():
            spent = seconds(lambda n, s=stage, k=name: try_stage(s, list(clips), scratch / f"{k} {n}") and None)  # type: ignore[misc]
            print(f"{name:<22} {spent:6.2f} s  {total / spent:6.1f} x real time, {len(clips) / spent:5.1f} clips/s")
        show_filters(clips, scratch)


if __name__ == "__main__":
    main()
