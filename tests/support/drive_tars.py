"""Reads the members of tars, slowly; a program of its own, so that tests can kill it: `drive_tars.py TARS STORE`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tar_stages import Digest, SlowMembers

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Timing
from hpcurate.source import Files


def main() -> int:
    """Run; leave with the state's exit status."""
    tars, store = sys.argv[1:]
    shape = {"workers": 2, "resources": {"cpus": 1, "memory": "200MB", "time": "5m"}}
    outcome = hpcurate.run(
        {
            "members": Step(SlowMembers(), StageOptions(shard_tasks=1, **shape)),
            "digest": Step(Digest(), StageOptions(shard_tasks=7, **shape)),
        },
        Files(tars),
        store=store,
        launcher="local",
        timing=Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=10.0, drain_s=20.0, ask_s=5.0),
        echo=lambda line: print(line, file=sys.stderr, flush=True),
    )
    return outcome.state.exit_status


if __name__ == "__main__":
    sys.exit(main())
