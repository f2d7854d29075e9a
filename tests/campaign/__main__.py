"""Random real faults: `python -m tests.campaign --faults N --seed S --pipeline text|video|packed|groups`.

On a real Slurm: needs root on Debian with Slurm, as `scripts/dev-slurm up` does. With `--launcher local` all faults are
kills. Each seed is one run; several: `--seed 0:10`. What a
run that ended wrong has left is copied beside its store, and kept.
Exit status: 0 all runs ended as they have to, 1 at least one did not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from slurm_fixture import running_slurm

from tests.campaign.machine import Machine, Site
from tests.campaign.pipelines import Groups, Pipeline, Text, Video, plant_twins, real_videos
from tests.campaign.play import Plan, play, undisturbed
from tests.campaign.table import Played, table


def main() -> int:
    """Play the runs, and print the table."""
    arguments = parsed()
    root = Path(tempfile.mkdtemp(prefix="hpcurate-campaign-"))
    pipelines = [pipeline_of(name, arguments.videos, root) for name in arguments.pipeline.split(",")]
    runs: list[Played] = []
    try:
        for pipeline in pipelines:
            for run in campaign(pipeline, seeds_of(arguments.seed), arguments, root / pipeline.name):
                runs.append(run)
    finally:
        print("\n" + table(runs))
        for run in runs:
            for line in (*run.letters, *run.wrong):
                print(f"{run.replay}: {line}", flush=True)
    return 1 if any(run.wrong for run in runs) else 0


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--faults", type=int, default=12, metavar="N", help="of each run")
    parser.add_argument("--seed", default="0", metavar="S", help="a number, or 0:10 for ten runs")
    parser.add_argument("--pipeline", default="text", help="text, video, packed, groups; or several: text,video")
    parser.add_argument("--launcher", choices=("slurm", "local"), default="slurm", help="what runs the stages")
    parser.add_argument("--longest", type=float, default=60.0, metavar="SECONDS", help="that a fault lasts")
    parser.add_argument("--videos", type=Path, help="a folder of videos, which a video run needs")
    return parser.parse_args()


def seeds_of(text: str) -> range:
    """`3` or `0:10`."""
    first, colon, last = text.partition(":")
    return range(int(first), int(last) if colon else int(first) + 1)


def pipeline_of(name: str, videos: Path | None, root: Path) -> Pipeline:
    """By its name."""
    if name == "text":
        return Text()
    if name == "groups":
        plant_twins(root / "texts")
        return Groups(texts=root / "texts")
    found = videos or real_videos()
    if found is None:
        sys.exit("a video run needs videos: --videos FOLDER; scripts/make-samples FOLDER renders some")
    return Video(videos=found.resolve(), packed=name == "packed")


def campaign(pipeline: Pipeline, seeds: range, arguments: argparse.Namespace, root: Path) -> Iterator[Played]:
    """The undisturbed run, and one for each seed, each on a Slurm of its own, or on this machine."""

    def site() -> AbstractContextManager[Site]:
        return running_slurm() if arguments.launcher == "slurm" else nullcontext(Machine(root))

    with site() as there:
        usual = undisturbed(pipeline, root / "undisturbed", there, say, arguments.launcher)
    say(f"{pipeline.name}, undisturbed: {usual.shards} shards, {usual.rounds} rounds, {usual.seconds:.0f} s")
    for seed in seeds:
        say(f"{pipeline.name} {seed}")
        plan = Plan(pipeline=pipeline, seed=seed, faults=arguments.faults, longest_s=arguments.longest)
        with site() as there:
            run = play(plan, usual, root / str(seed), there, say)
        say(f"{pipeline.name} {seed}: {run.wrong or run.letters or 'the same tree'}")
        if not run.wrong:
            shutil.rmtree(root / str(seed))
        yield run


def say(line: str) -> None:
    """At once: campaigns are long."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
