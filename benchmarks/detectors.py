"""Where each detector of `Split` cuts videos, side by side, as a Markdown table.

    python benchmarks/detectors.py [FOLDER]      default: HPCURATE_TEST_VIDEOS

Cuts are numbers of frames that start a scene; clips are the scenes of two seconds or more. Fetches the
weights with pip.
"""

from __future__ import annotations

import os
from pathlib import Path

from bare_loop import fetched, videos_of
from rounds import parser, scratch

from hpcurate.testing import try_stage
from stages.video.detectors import Name
from stages.video.split import Split
from stages.video.tasks import ClipTask, VideoTask

DETECTORS: tuple[Name, ...] = ("content", "transnetv2")
SHORTEST_S = 2.0


def scenes_of(videos: list[VideoTask], detector: Name, work: Path) -> dict[str, list[ClipTask]]:
    """Of any length, by video."""
    clips = try_stage(Split(detector=detector, min_s=0), videos, work / detector).tasks
    return {video.source: [clip for clip in clips if clip.source == video.source] for video in videos}


def said(scenes: list[ClipTask]) -> str:
    """Two cells."""
    cuts = ", ".join(str(scene.start_frame) for scene in scenes[1:]) or "none"
    clips = (f"{scene.start_s:.1f}–{scene.end_s:.1f}" for scene in scenes if scene.duration_s >= SHORTEST_S)
    return f"{cuts} | {', '.join(clips) or 'none'}"


def main() -> None:
    """Command line."""
    options = parser(__doc__, repeat=0)
    options.add_argument("folder", nargs="?", type=Path, default=os.environ.get("HPCURATE_TEST_VIDEOS"))
    folder = Path(options.parse_args().folder or options.error("name a folder, or set HPCURATE_TEST_VIDEOS"))
    with scratch() as work:
        fetched(work)
        videos = videos_of(folder, work / "probed")
        found = {detector: scenes_of(videos, detector, work) for detector in DETECTORS}
        print("| video | frames | detector | cuts | clips, s |\n|---|---|---|---|---|")
        for video in videos:
            for detector, scenes in found.items():
                print(f"| {video.source} | {video.frames} | `{detector}` | {said(scenes[video.source])} |")


if __name__ == "__main__":
    main()
