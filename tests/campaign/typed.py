"""The command of a text run, as a program: `python tests/campaign/typed.py STORE OUTPUT LAUNCHER DOCUMENTS SLEEP`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from texts import Lines, Publish, Shout, documents

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Timing

SLURM = {
    "_target_": "launchers.slurm.SlurmLauncher",
    "partition": "low",
    "setup": ["sleep 0.3"],
}


def main(store: str, output: str, launcher: str, number: int, sleep_s: float, timing: str) -> int:
    """Run, or go on; leave with the state's exit status."""
    shape = StageOptions(shard_tasks=4, workers=3, resources={"cpus": 1, "memory": "300MB", "time": "5m"})
    outcome = hpcurate.run(
        {
            "lines": Step(Lines(sleep_s), shape),
            "shout": Step(Shout(sleep_s), shape),
            "publish": Step(Publish(output), StageOptions(resources={"memory": "300MB", "time": "5m"})),
        },
        documents(number),
        store=store,
        output=output,
        launcher=SLURM if launcher == "slurm" else launcher,
        timing=Timing(**json.loads(timing)),
        echo=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(outcome.state.value)
    return outcome.state.exit_status


if __name__ == "__main__":
    store, output, launcher, number, sleep_s, timing = sys.argv[1:]
    sys.exit(main(store, output, launcher, int(number), float(sleep_s), timing))
