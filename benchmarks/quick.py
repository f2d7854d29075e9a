#!/usr/bin/env python3
"""Whether anything became slower: `make bench-quick`, or `benchmarks/quick.py [--only NAME …] [--accept]`.

Runs the `quick()` of each benchmark: small sizes, ratios only (ours beside the peer's in the same run, or what was
counted), higher is better. They are compared with `benchmarks/ratios.json`, which `--accept` writes. A ratio is
*slower* if it is less than 0.75 of the stored one: two runs on a busy machine differ by a tenth and more. Exit status 1
then.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import attrs
from rounds import parser

NAMES = ("startup", "metadata", "records", "intake", "many_files", "scale", "video")
"""Benchmarks that need neither Slurm nor models."""
RATIOS = Path(__file__).with_name("ratios.json")
ENOUGH = 0.75
"""A ratio that is less than this part of the stored one has become worse."""


@attrs.define(frozen=True)
class Ratio:
    """One ratio, now and as it was stored. Higher is better."""

    name: str
    now: float
    stored: float | None
    """None: it is new."""

    @property
    def slower(self) -> bool:
        """Whether it has become worse by more than chance."""
        return self.stored is not None and self.now < ENOUGH * self.stored

    def row(self) -> str:
        """Its line of the table."""
        if self.stored is None:
            return f"| {self.name} | {self.now:.2f} | – | new |"
        return f"| {self.name} | {self.now:.2f} | {self.stored:.2f} | {'slower' if self.slower else ''} |"


def compared(found: Mapping[str, float], stored: Mapping[str, float]) -> list[Ratio]:
    """Each ratio that was measured beside the stored one. Pure."""
    return [Ratio(name, now, stored.get(name)) for name, now in found.items()]


def measure(names: list[str]) -> dict[str, float]:
    """The ratios of these benchmarks, by `benchmark: what`."""
    found = {}
    for name in names:
        began = time.perf_counter()
        ratios = importlib.import_module(name).quick()
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        found.update({f"{name}: {what}": round(value, 3) for what, value in ratios.items()})
    return found


def main() -> int:
    """Measure, print, compare; 1 if something became slower."""
    options = parser(__doc__, repeat=0)
    options.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="just these (default: all)")
    options.add_argument("--accept", action="store_true", help="store what is measured, to compare later runs with")
    arguments = options.parse_args()
    stored: dict[str, float] = json.loads(RATIOS.read_text()) if RATIOS.exists() else {}
    ratios = compared(measure(list(arguments.only)), stored)
    print("| ratio, higher is better | now | stored | |\n|---|---|---|---|")
    print("\n".join(ratio.row() for ratio in ratios))
    if arguments.accept:
        RATIOS.write_text(json.dumps({**stored, **{ratio.name: ratio.now for ratio in ratios}}, indent=1) + "\n")
        return 0
    return int(any(ratio.slower for ratio in ratios))


if __name__ == "__main__":
    sys.exit(main())
