"""`python -m tests.stages.broken.fuzz`: files that are damaged at random through the whole video pipeline.

python -m tests.stages.broken.fuzz [--files 2000] [--seed 1] [--videos FOLDER] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from tests.stages.broken.ends import End, curate, ends_in, peaks_in
from tests.stages.broken.mutation import write

TYPED = ("VideoError",)
"""Errors that name file and fault. Any other dead letter is a fault of ours: `crash`, `timeout`, a ValueError."""
HANGS_S = 60
"""No batch takes so long."""


@attrs.define(frozen=True)
class Found:
    """How the files of a campaign ended."""

    files: int
    ends: dict[str, list[End]]
    peaks: dict[str, float]
    seconds: float

    @property
    def faults(self) -> list[str]:
        """What is not as it should be: a file that ended nowhere is counted, one without a clear error named."""
        lost = self.files - len(self.ends)
        return faults(self.ends) + [f"{lost} files ended nowhere"] * bool(lost)

    def lines(self) -> list[str]:
        """To be printed."""
        count = Counter(ending(ends) for ends in self.ends.values())
        peaks = ", ".join(f"{stage} {peak:.0f} MB" for stage, peak in sorted(self.peaks.items()) if peak)
        return [
            f"{self.files} files in {self.seconds:.0f} s",
            *(f"{number:6} {how}" for how, number in count.most_common()),
            f"peak memory: {peaks}",
            *self.faults,
        ]


def faults(ends: Mapping[str, Sequence[End]]) -> list[str]:
    """Dead letters without a clear error."""
    return [
        f"{source}: {end.stage}: {end.error}: {end.reason[:200]}"
        for source, all_of_it in sorted(ends.items())
        for end in all_of_it
        if end.how == "dead letter" and (end.error not in TYPED or source not in end.reason)
    ]


def ending(ends: list[End]) -> str:
    """One word for a file of which some clips may have ended otherwise than others."""
    failed = sorted({f"{end.how} of {end.stage} ({end.error})" for end in ends if end.how == "dead letter"})
    if failed:
        return failed[0]
    return "clips" if any(end.how == "clips" for end in ends) else f"dropped by {ends[0].stage}"


def campaign(folder: Path, files: int, seed: int, videos: Path | None = None) -> Found:
    """Make so many files, and run the pipeline over them."""
    write(folder / "in", files, seed, videos)
    limits = [f"stages.{stage}.task_timeout={HANGS_S}" for stage in ("probe", "split", "clips")]
    began = time.monotonic()
    curate(folder, "stages.cut.preset=ultrafast", *limits, nice=10, timeout=3 * 3600)
    return Found(files, ends_in(folder / "store"), peaks_in(folder / "store"), time.monotonic() - began)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--videos", type=Path, help="folder of real videos, whose beginnings are damaged, too")
    parser.add_argument("--keep", type=Path, help="folder for files and store; default: removed")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = campaign(folder, arguments.files, arguments.seed, arguments.videos)
    print("\n".join(found.lines()))
    return bool(found.faults)


if __name__ == "__main__":
    sys.exit(main())
