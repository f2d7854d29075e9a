"""The cut of real videos on the whole machine, beside bare loops that make the same cuts: `benchmarks/video.py`.

    benchmarks/video.py [FOLDER] [--copies N] [--only WAY …]

Scenes of every video of FOLDER (default: HPCURATE_TEST_VIDEOS, or samples that are made), found before; one bare loop,
one ffmpeg or one worker for each core. Ways, in turns:

- *bare loops*: PyAV, the peer, with the start of its processes; `benchmarks/bare_cut.py` says what is not equal.
- *bare loops, without cpu-independent*: what that option costs.
- *ffmpeg*: the command, if it is installed; another build of x264.
- *cut*: `Cut` alone through the engine, from the first claim to the last commit; *whole call* is `hpcurate.run` with
  the intake of the spans and the start of the workers.
- *chain*: the same with motion, quality and preview. It encodes no clip that motion drops, and the peer encodes all: so
  its threshold is 0 here.

Then the seconds of CPU of the chain by part, in one process on one core.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bare_cut import Span, ffmpeg_seconds, has_ffmpeg, seconds_of
from rounds import in_a_folder, in_turns, parser, ratios, scratch, table, work_seconds
from video_profile import parts_of, profile_table

import hpcurate
from hpcurate import Chain, FileTask, Stage, stable_id
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.testing import try_stage
from stages.video.cut import Cut
from stages.video.motion import Motion
from stages.video.preview import Preview
from stages.video.probe import Probe
from stages.video.quality import Quality
from stages.video.split import Split
from stages.video.tasks import ClipTask

ROOT = Path(__file__).resolve().parent.parent
PEER = "bare loops"
QUICK_WORK = 4e7
"""Pixels that `quick` encodes: a second or two."""


def chain() -> Stage[Any, Any]:
    """That of the pipeline, keeping every clip."""
    return Chain([Cut(), Motion(threshold=0), Quality(), Preview()])


class Work:
    """The clips, and each way to cut them; the folder of a way is removed after it."""

    def __init__(self, clips: list[ClipTask], parent: Path) -> None:
        self.clips, self.parent = clips, parent
        self.spans, self.cores = [Span.of(clip) for clip in clips], len(os.sched_getaffinity(0))
        self.warm: dict[str, float] = {}
        """Seconds from the first claim to the last commit of the call before, by the name of the stage."""

    def bare(self, independent: bool = True) -> float:
        """Seconds of the bare loops."""
        return in_a_folder(lambda folder: seconds_of(self.spans, folder, self.cores, independent), self.parent)

    def ffmpeg(self) -> float:
        """Seconds of the command."""
        return in_a_folder(lambda folder: ffmpeg_seconds(self.spans, folder, self.cores), self.parent)

    def engine(self, name: str, stage: Stage[Any, Any]) -> float:
        """Seconds of the whole call, one clip a shard; from claim to commit they are noted in `warm`."""
        return in_a_folder(lambda folder: self._run(name, stage, folder), self.parent)

    def parts(self) -> dict[str, float]:
        """Seconds of CPU of the chain by part."""
        with scratch(self.parent) as folder:
            try_stage(chain(), self.clips[:1], folder / "first")  # imports
            return parts_of(lambda: self._tried(folder / "chain"))

    def _tried(self, folder: Path) -> None:
        assert len(try_stage(chain(), self.clips, folder).tasks) == len(self.clips)

    def _run(self, name: str, stage: Stage[Any, Any], store: Path) -> float:
        began = time.perf_counter()
        step = Step(stage, StageOptions(shard_tasks=1))
        outcome = hpcurate.run({name: step}, self.clips, store=store, launcher="local")
        whole = time.perf_counter() - began
        counts = outcome.summary["stages"][name]
        assert (outcome.state.value, counts["out"]) == ("complete", len(self.clips)), outcome.summary
        self.warm[name] = work_seconds(store, name)
        return whole


def ways_of(work: Work) -> dict[str, Callable[[], float]]:
    """Name → what measures it. Those from claim to commit measure nothing, they follow the whole call."""
    ways: dict[str, Callable[[], float]] = {
        PEER: work.bare,
        "bare loops, without cpu-independent": lambda: work.bare(independent=False),
        "ffmpeg": work.ffmpeg,
        "cut, whole call": lambda: work.engine("cut", Cut()),
        "cut": lambda: work.warm["cut"],
        "chain, whole call": lambda: work.engine("chain", chain()),
        "chain": lambda: work.warm["chain"],
    }
    return ways if has_ffmpeg() else {name: way for name, way in ways.items() if name != "ffmpeg"}


def clips_of(folder: Path, work: Path, copies: int) -> list[ClipTask]:
    """The scenes of every video that opens; of each as many copies, under other names."""
    found = [(path, copy) for path in sorted(folder.glob("*.mp4")) for copy in range(copies)]
    sources = [(path, f"{copy}/{path.name}") for path, copy in found]
    files = [
        FileTask(id=stable_id(name), source=name, path=str(path), size=path.stat().st_size, mtime_ns=0)
        for path, name in sources
    ]
    videos = try_stage(Probe(), files, work / "probe").tasks
    return list(try_stage(Split(), videos, work / "split").tasks)


def videos(given: Path | None, work: Path) -> Path:
    """The folder of videos."""
    folder = given or os.environ.get("HPCURATE_TEST_VIDEOS")
    if folder:
        return Path(folder)
    made = work / "samples"
    subprocess.run([sys.executable, str(ROOT / "scripts" / "make-samples"), str(made), "--small"], check=True)
    return made


def quick() -> dict[str, float]:
    """Ratios to the bare loops, of a few short clips."""
    with scratch() as folder:
        clips = sorted(clips_of(videos(None, folder), folder, 1), key=lambda clip: Span.of(clip).work)
        few = [clip for n, clip in enumerate(clips) if sum(Span.of(one).work for one in clips[: n + 1]) < QUICK_WORK]
        ways = chosen(ways_of(Work(few or clips[:1], folder)), ("cut", "chain"))
        found = ratios(in_turns(ways, 1), PEER)
        return {name: found[name] for name in ("cut", "chain")}


def chosen(ways: Mapping[str, Callable[[], float]], only: Sequence[str]) -> dict[str, Callable[[], float]]:
    """The peer, and the ways of these kinds."""
    return {name: way for name, way in ways.items() if name == PEER or name.split(",")[0] in only}


def report(folder: Path, parent: Path, given: argparse.Namespace) -> None:
    """Measure and print."""
    work = Work(clips_of(folder, parent, given.copies), parent)
    seconds = sum(clip.duration_s for clip in work.clips)
    print(f"{len(work.clips)} clips, {seconds:.1f} s of video, {work.cores} cores\n", flush=True)
    print(table(in_turns(chosen(ways_of(work), given.only), given.repeat), PEER), flush=True)
    if "profile" in given.only:
        print(f"\nThe chain, on one core:\n\n{profile_table(work.parts())}")


def main() -> None:
    """Command line."""
    every = [PEER, "ffmpeg", "cut", "chain", "profile"]
    options = parser(__doc__, quick=quick, folder=True)
    options.add_argument("folder", nargs="?", type=Path, help="with videos")
    options.add_argument("--copies", type=int, default=1, help="times each video is cut (default: 1)")
    options.add_argument("--only", nargs="+", choices=every, default=every, help="these, and the peer (default: all)")
    given = options.parse_args()
    with scratch(given.dir) as folder:
        report(videos(given.folder, folder), folder, given)


if __name__ == "__main__":
    main()
