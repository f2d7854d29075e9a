"""Whether a stage's process starts in its environment on this machine, and finds what it imports.

`python -m hpcurate.worker.check FOLDER NAME` reads the plan `FOLDER/NAME/plan.json`, tries, and writes the answer to
`FOLDER/NAME/answer.json`: what `hpcurate envs check` does here, or in a job.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpcurate.node.place import node_name
from hpcurate.planning.plan import Plan
from hpcurate.stage import WorkerInfo
from hpcurate.worker.hosts.spawned import SetupFailed, StageProcess
from hpcurate.worker.node_staging import NodeStaging


def check(plan: Plan, folder: str, log: Callable[[str], None]) -> dict[str, Any]:
    """`{"ok", "node", "error"}`, and, once the process has started, its `environment`."""
    bringer = NodeStaging(plan, folder, log=log)
    info = WorkerInfo(index=0, process=0, cpus=max(1, int(plan.resources.cpus)))
    process = StageProcess(plan, info, bringer.bring(), log)
    try:
        answer = process.check()
    except (SetupFailed, OSError) as error:
        return {"ok": False, "node": node_name(), "error": str(error)}
    finally:
        process.close()
        bringer.close()
    told = "; ".join(answer["not_imported"])
    return {"ok": not told, "node": node_name(), "error": told, "environment": answer["environment"]}


def main(argv: list[str]) -> int:
    """Entry; exit status 1 where something is wrong."""
    folder = os.path.join(argv[0], argv[1])
    answer = check(Plan.load(folder), folder, lambda line: print(line, flush=True))
    Path(folder, "answer.part").write_text(json.dumps(answer))
    os.replace(os.path.join(folder, "answer.part"), os.path.join(folder, "answer.json"))
    return 0 if answer["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
