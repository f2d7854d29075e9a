"""Where each detector of `Split` cuts videos, side by side, as a Markdown table.

    python benchmarks/detectors.py [FOLDER]      default: HPCURATE_TEST_VIDEOS

Cuts are numbers of frames that start a scene; clips are the scenes of two seconds or more. Fetches the
weights with pip.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from bare_loop import fetched, videos_of

from hpcurate.testing import try_stage
from stages.video.detectors import Name
from stages.video.split import Split
from stages.video.tasks import ClipTask, VideoTask

DETECTORS: tuple[Name, ...] = ("content", "transnetv2")
SHORTEST_S = 2.0


def scenes_of(videos: list[VideoTask], detector: Name, scratch: Path) -> dict[str, list[ClipTask]]:
    """Of any length, by video."""
    clips = try_stage(Split(detector=detector, min_s=0), videos, scratch / detector).tasks
    return {video.source: [clip for clip in clips if clip.source == video.source] for video in videos}


def said(scenes: list[ClipTask]) -> str:
    """Two cells."""
    cuts = ", ".join(str(scene.start_frame) for scene in scenes[1:]) or "none"
    clips = (f"{scene.start_s:.1f}–{scene.end_s:.1f}" for scene in scenes if scene.duration_s >= SHORTEST_S)
    return f"{cuts} | {', '.join(clips) or 'none'}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("HPCURATE_TEST_VIDEOS"))
    folder = Path(parser.parse_args().folder or parser.error("name a folder, or set HPCURATE_TEST_VIDEOS"))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        fetched(scratch)
        videos = videos_of(folder, scratch / "probed")
        found = {detector: scenes_of(videos, detector, scratch) for detector in DETECTORS}
        print("| video | frames | detector | cuts | clips, s |\n|---|---|---|---|---|")
        for video in videos:
            for detector, scenes in found.items():
                print(f"| {video.source} | {video.frames} | `{detector}` | {said(scenes[video.source])} |")


if __name__ == "__main__":
    main()
