"""A training for the tests, in the standard library alone: each rank adds to a sum, rank 0 keeps it.

`trainer.py CHECKPOINT METRICS VALUES STEPS PAUSE TRACE`. Each rank writes where it is into TRACE, a folder.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main(checkpoint: str, metrics: str, values: str, steps: int, pause: float, trace: str) -> None:
    """From the step that was reached to the last."""
    rank, nodes = int(os.environ.get("SLURM_PROCID", "0")), int(os.environ.get("SLURM_NNODES", "1"))
    state = Path(checkpoint, "state")
    step, total = json.loads(state.read_text()) if state.exists() else (0, 0)
    print(f"rank {rank} of {nodes} begins at step {step}", flush=True)
    with open(f"{trace}/begun", "a") as file:
        file.write(f"{rank} {step} {os.getpid()}\n")
    while step < steps:
        time.sleep(pause)
        step, total = step + 1, total + step * step
        Path(trace, f"beat.{rank}.{os.getpid()}").write_text(str(time.time()))
        if rank == 0:
            with open(metrics, "a") as file:
                file.write(json.dumps({"metric": "loss", "value": 1 / step, "step": step}) + "\n")
            beside = state.with_name(f"state.{os.getpid()}")
            beside.write_text(json.dumps([step, total]))
            beside.replace(state)
    if rank == 0:
        Path(values).write_text(json.dumps({"total": total}))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), float(sys.argv[5]), sys.argv[6])
