"""Starts the standard test pipeline; run as a program so that tests can kill it.

`python tests/drive.py STORE LAUNCHER [--wait] [--sleep S] [--count N] [--output DIR]`
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from engine_stages import Collect, Digits, Double, Marked

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Timing


def main() -> int:
    """Run, print the summary, leave with the state's exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("launcher")
    parser.add_argument("--wait", action="store_true", default=None)
    parser.add_argument("--sleep", type=float, default=0.0)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--output")
    options = parser.parse_args()
    output = options.output or f"{options.store}-out"
    shape = StageOptions(shard_tasks=5, workers=3, resources={"cpus": 1, "memory": "200MB", "time": "5m"})
    one = StageOptions(resources={"memory": "200MB", "time": "5m"})
    outcome = hpcurate.run(
        {
            "double": Step(Double(sleep_s=options.sleep), shape),
            "digits": Step(Digits(), shape),
            "collect": Step(Collect(output=output), one),
        },
        [Marked(id=f"n{i:04d}", value=i, mark="m") for i in range(options.count)],
        store=options.store,
        launcher=options.launcher,
        output=output,
        wait=options.wait,
        timing=Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=10.0, drain_s=20.0, ask_s=5.0),
        echo=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(outcome.summary))
    return outcome.state.exit_status


if __name__ == "__main__":
    sys.exit(main())
