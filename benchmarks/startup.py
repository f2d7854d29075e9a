#!/usr/bin/env python3
"""What starting hpcurate costs, beside the bare import of Hydra: `benchmarks/startup.py [--runs N]`.

Each row is a new Python process, N times; the rows take turns, so that a busy moment hits all of them. The
first turn warms the disk cache and does not count. Prints a Markdown table of medians.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from statistics import median

HYDRA = "from hydra import main"
ROWS = {
    f"`python -c '{HYDRA}'` (the yardstick)": ["-c", HYDRA],
    "`python -c pass`": ["-c", "pass"],
    "`python -m hpcurate --help`": ["-m", "hpcurate", "--help"],
    "imports of a gate: `hpcurate.runs.driver`": ["-c", "import hpcurate.runs.driver"],
    "imports of a supervisor: `hpcurate.worker.supervisor`": ["-c", "import hpcurate.worker.supervisor"],
    "imports of a submission: command line, Hydra, Slurm launcher, submitit": [
        "-c",
        "import hpcurate.cli.start.launch, hydra, omegaconf, launchers.slurm.launcher, submitit.slurm.slurm",
    ],
}
"""What is timed → arguments of the interpreter."""


def seconds(arguments: list[str]) -> float:
    """Wall time of one new interpreter. Raises CalledProcessError if it fails."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def measure(runs: int) -> dict[str, float]:
    """Median of each row, seconds."""
    taken: dict[str, list[float]] = {name: [] for name in ROWS}
    for turn in range(runs + 1):
        for name, arguments in ROWS.items():
            took = seconds(arguments)
            if turn:
                taken[name].append(took)
    return {name: median(values) for name, values in taken.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="processes of each kind (default: 15)")
    arguments = parser.parse_args()
    found = measure(arguments.runs)
    yardstick = next(iter(found.values()))
    print(f"median of {arguments.runs}, Python {sys.version.split()[0]}\n")
    print("| process | seconds | of the yardstick |\n|---|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value:.3f} | {value / yardstick:.2f} |")


if __name__ == "__main__":
    main()
