"""TransNetV2 through hpcurate against a bare loop over the same network, in frames a second.

    python benchmarks/bare_loop.py [FOLDER]      default: HPCURATE_TEST_VIDEOS; without it, samples

- *Network only*: all windows of small pictures that lie in memory already. Nothing can be faster.
- *Bare loop*: for each video, decode all of it, then run the network; the same decoder, network and windows.
- *hpcurate*: `Split(detector="transnetv2")`, all videos in one shard, or one video a shard; one stage process, and
  claims, rows and commits included. From the commit of a first, tiny video on, so that starting and loading the network
  do not count.

Everything has two threads; all take turns, and medians are compared. Fetches the weights with pip if need be.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from rounds import in_a_folder, in_turns, parser, rates, scratch

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
PEER = "bare loop"


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
        """Seconds: one video after the other."""
        return seconds(lambda: sum(self.infer(self.decode(video)) for video in self.videos))

    def network_only(self) -> float:
        """Seconds, nothing to decode."""
        if not self.pictures:
            self.pictures = {video.id: self.decode(video) for video in self.videos}
        return seconds(lambda: sum(self.infer(pictures) for pictures in self.pictures.values()))


def seconds(work: Callable[[], int]) -> float:
    """Of some work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def with_hpcurate(videos: list[VideoTask], tiny: VideoTask, weights: Path, each: bool, folder: Path) -> float:
    """Seconds from the commit of the tiny video to the last one; with `each`, one video a shard."""
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
    return commits[-1] - commits[0]


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
    with scratch() as folder:
        weights = fetched(folder)
        small = samples(folder / "samples")
        tiny = next(video for video in videos_of(small, folder / "tiny") if video.source == "black.mp4")
        videos = [one for one in videos_of(given or small, folder / "probed") if one.id != tiny.id]
        network = ShotNetwork()
        network.device, network.threads = "cpu", THREADS
        network.setup()
        loop = Loop(videos, network)
        frames = sum(len(loop.decode(video)) for video in videos)
        ours = partial(with_hpcurate, videos, tiny, weights)
        ways: dict[str, Callable[[], float]] = {
            "network only": loop.network_only,
            PEER: loop.bare,
            "hpcurate, one shard": partial(in_a_folder, partial(ours, False)),
            "hpcurate, one video a shard": partial(in_a_folder, partial(ours, True)),
        }
        print(f"{len(videos)} videos, {frames} frames, {THREADS} threads\n")
        print(rates(in_turns(ways, repeat), PEER, "frames", dict.fromkeys(ways, frames)))


def main() -> None:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("folder", nargs="?", type=Path, default=os.environ.get("HPCURATE_TEST_VIDEOS"))
    given = options.parse_args()
    bare_loop(given.folder and Path(given.folder), given.repeat)


if __name__ == "__main__":
    main()
