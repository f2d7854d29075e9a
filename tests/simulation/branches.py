"""Which branches of the protocol the simulation reaches: `python -m tests.simulation coverage`.

In a process that has not imported hpcurate before it measures. Branches that are only for what is not simulated are
named as they are: a person reads what is left.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import coverage

ROOT = Path(__file__).parents[2]
PROTOCOL = {
    "store": ("claims", "commits", "rounds", "lists", "evidence"),
    "worker": ("picker", "attempts", "heartbeat", "turns"),
    "runs": (
        "reconcile", "rounds_seen", "submitting", "driver", "gate", "cancel", "commits_seen", "fans_seen",
        "lists_seen", "indexing", "live",
    ),
    "source": ("intake",),
}  # fmt: skip


@attrs.define(frozen=True)
class File:
    """Branches of one file."""

    name: str
    reached: int
    possible: int
    missing: tuple[tuple[int, int], ...]
    """(line, the line after it to which nothing went; negative: the end of its function)."""

    def __str__(self) -> str:
        left = ", ".join(f"{line}→{'end' if to < 0 else to}" for line, to in self.missing)
        return f"{self.name:28} {self.reached:4} of {self.possible:4}   {left}"


def protocol_files() -> list[Path]:
    """The files, in order."""
    return [ROOT / "hpcurate" / folder / f"{name}.py" for folder, names in PROTOCOL.items() for name in names]


def measure(scenarios: Sequence[str], seeds: range) -> list[File]:
    """Play these, and see where they got."""
    files = [str(path) for path in protocol_files()]
    measured = coverage.Coverage(
        data_file=None, branch=True, concurrency="greenlet", include=files, config_file=False, messages=False
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        measured.start()
        from tests.simulation.campaign import one, tasks_of
        from tests.simulation.scenarios import SCENARIOS

        for task in tasks_of(scenarios or list(SCENARIOS), seeds):
            one(task)
        measured.stop()
    return read(measured, files)


def read(measured: coverage.Coverage, files: Sequence[str]) -> list[File]:
    """What was measured."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
        measured.json_report(morfs=files, outfile=report.name)
        plain = json.load(report)["files"]
    by_name = {os.path.realpath(name): found for name, found in plain.items()}
    return [
        File(
            name=os.path.relpath(name, ROOT / "hpcurate"),
            reached=found["summary"]["covered_branches"],
            possible=found["summary"]["num_branches"],
            missing=tuple((line, to) for line, to in found["missing_branches"]),
        )
        for name in files
        if (found := by_name.get(os.path.realpath(name)))
    ]


def total(files: Sequence[File]) -> str:
    """In one line."""
    reached, possible = sum(file.reached for file in files), sum(file.possible for file in files)
    return f"{reached} of {possible} branches of the protocol reached ({reached / possible:.0%})"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation coverage")
    parser.add_argument("--scenario", action="append", default=[])
    parser.add_argument("--seeds", default="0:12", help="from:to")
    parser.add_argument("--brief", action="store_true", help="the total alone")
    given = parser.parse_args()
    low, _, high = given.seeds.partition(":")
    gc.disable()  # nothing of an episode may be collected: that would raise into the threads of the dead
    began = time.monotonic()
    files = measure(given.scenario, range(int(low), int(high)))
    if not given.brief:
        print(*files, sep="\n")
    print(f"{total(files)}; {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # threads of the dead are not collected
