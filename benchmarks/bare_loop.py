"""TransNetV2 through hpcurate against a bare loop over the same network, in frames a second.

    python benchmarks/bare_loop.py [FOLDER] [--repeat N]      default: HPCURATE_TEST_VIDEOS; without it, samples

- *Network only*: all windows of small pictures that lie in memory already. Nothing can be faster.
- *Bare loop*: for each video, decode all of it, then run the network; the same decoder, network and windows.
- *hpcurate*: `Split(detector="transnetv2")`, all videos in one shard, or one video a shard; one stage process, and
  claims, rows and commits included. From the commit of a first, tiny video on, so that starting and loading the network
  do not count.

Everything has two threads; all take turns, and medians are compared. Fetches the weights with pip if need be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

import hpcurate
from hpcurate import FileTask, StageOptions, Step, stable_id
from hpcurate.config_files import shipped_conf
from hpcurate.model import provide_weights
from hpcurate.models.fetch import fetch
from hpcurate.models.registry import read_registry
from hpcurate.models.weights import WeightStore
from hpcurate.testing import try_stage
from stages.video.detectors import TOGETHER
from stages.video.media.decode import open_video
from stages.video.media.shots import ShotFinder, small_picture
from stages.video.probe import Probe
from stages.video.shot_network import ShotNetwork
from stages.video.split import Split
from stages.video.tasks import VideoTask

ROOT = Path(__file__).resolve().parent.parent
THREADS = 2


@attrs.define
class Loop:
    """The network, without the engine."""

    videos: list[VideoTask]
    network: ShotNetwork
    pictures: dict[str, list[Any]] = attrs.field(factory=dict)

    def decode(self, video: VideoTask) -> list[Any]:
        """Small pictures of all frames."""
        with open_video(video.path, video.source) as opened:
            return [small_picture(frame) for frame in opened.decode(opened.packets())]

    def infer(self, pictures: list[Any]) -> int:
        """Frames that the network judged."""
        finder = ShotFinder(self.network.predict, TOGETHER["cpu"])
        for picture in pictures:
            finder.add(picture)
        return len(finder.chances())

    def bare(self) -> float:
        """Frames a second: one video after the other."""
        return rate(lambda: sum(self.infer(self.decode(video)) for video in self.videos))

    def network_only(self) -> float:
        """Frames a second, nothing to decode."""
        if not self.pictures:
            self.pictures = {video.id: self.decode(video) for video in self.videos}
        return rate(lambda: sum(self.infer(pictures) for pictures in self.pictures.values()))


def rate(work: Callable[[], int]) -> float:
    """Frames that it did, a second."""
    started = time.perf_counter()
    frames = work()
    return frames / (time.perf_counter() - started)


def with_hpcurate(videos: list[VideoTask], tiny: VideoTask, weights: Path, frames: int, each: bool) -> float:
    """Frames a second, from the commit of the tiny video to the last one; with `each`, one video a shard."""
    folder = Path(tempfile.mkdtemp(prefix="hpcurate-bare-loop-"))
    store = folder / "store"
    store.mkdir()
    (store / "weights").symlink_to(weights)
    total = sum(video.weight for video in videos)
    options = StageOptions(
        shard_tasks=1 if each else 0,
        shard_weight=total,
        workers=1,
        resources={"cpus": THREADS, "memory": "4GB", "time": "1h"},
    )
    step = Step(Split(detector="transnetv2", min_s=0), options)
    first = attrs.evolve(tiny, weight=total + 1)  # a shard of its own, and the heaviest is claimed first
    outcome = hpcurate.run({"split": step}, [first, *videos], store=store, launcher="local", wait=True)
    assert outcome.state.value == "complete", outcome.summary
    commits = sorted(path.stat().st_ctime for path in store.glob("stages/split-*/shards/*/[!.]*"))
    assert len(commits) == (len(videos) if each else 1) + 1
    shutil.rmtree(folder, ignore_errors=True)
    return frames / (commits[-1] - commits[0])


def fetched(root: Path) -> Path:
    """The weights, in a store of their own and where `Split` looks for them; the folder that holds them."""
    store = WeightStore(str(root))
    os.makedirs(store.folder)
    provide_weights({"transnetv2": fetch(store, read_registry([shipped_conf()])["transnetv2"]).path})
    return Path(store.folder)


def videos_of(folder: Path, scratch: Path) -> list[VideoTask]:
    """Every video that opens."""
    files = [
        FileTask(id=stable_id(p.name), source=p.name, path=str(p), size=p.stat().st_size, mtime_ns=0)
        for p in sorted(folder.glob("*.mp4"))
    ]
    return list(try_stage(Probe(), files, scratch).tasks)


def samples(folder: Path) -> Path:
    """The demo's videos."""
    subprocess.run([sys.executable, str(ROOT / "scripts" / "make-samples"), str(folder), "--small"], check=True)
    return folder


def bare_loop(given: Path | None, repeat: int) -> None:
    """Measure, and print a Markdown table."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        weights = fetched(scratch)
        small = samples(scratch / "samples")
        tiny = next(video for video in videos_of(small, scratch / "tiny") if video.source == "black.mp4")
        videos = videos_of(given or small, scratch / "probed")
        network = ShotNetwork()
        network.device, network.threads = "cpu", THREADS
        network.setup()
        loop = Loop([video for video in videos if video.id != tiny.id], network)
        frames = sum(len(loop.decode(video)) for video in loop.videos)
        ways: dict[str, Callable[[], float]] = {
            "network only": loop.network_only,
            "bare loop": loop.bare,
            "hpcurate, one shard": lambda: with_hpcurate(loop.videos, tiny, weights, frames, each=False),
            "hpcurate, one video a shard": lambda: with_hpcurate(loop.videos, tiny, weights, frames, each=True),
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeat):
            for way, measure in ways.items():
                found[way].append(measure())
        print(f"{len(loop.videos)} videos, {frames} frames, {THREADS} threads\n")
        print("| way | frames/s | of the bare loop |\n|---|---|---|")
        bare = statistics.median(found["bare loop"])
        for way, rates in found.items():
            spread = ", ".join(f"{one:.1f}" for one in sorted(rates))
            print(f"| {way} | {spread} | {statistics.median(rates) / bare:.2f} |", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("HPCURATE_TEST_VIDEOS"))
    parser.add_argument("--repeat", type=int, default=3, help="times each is run; the median counts (default: 3)")
    arguments = parser.parse_args()
    bare_loop(arguments.folder and Path(arguments.folder), arguments.repeat)


if __name__ == "__main__":
    main()
