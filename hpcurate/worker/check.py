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

import attrs

from hpcurate.node.place import node_name
from hpcurate.planning.plan import Plan
from hpcurate.stage import WorkerInfo
from hpcurate.store.access import keep_private
from hpcurate.worker.hosts import SetupFailed
from hpcurate.worker.hosts.spawned import StageProcess
from hpcurate.worker.node_staging import NodeStaging


@attrs.define(frozen=True, kw_only=True)
class CheckAnswer:
    """What `answer.json` holds."""

    ok: bool
    node: str = "-"
    error: str = ""
    environment: dict[str, str] = attrs.field(factory=dict)
    """Of the stage process, once it has started."""


def check(plan: Plan, folder: str, log: Callable[[str], None]) -> CheckAnswer:
    """Try it."""
    staging = NodeStaging(plan, folder, log=log)
    info = WorkerInfo(index=0, process=0, cpus=max(1, int(plan.stage.resources.cpus)))
    process = StageProcess(plan, info, staging.stage(), log)
    try:
        ready = process.check()
    except (SetupFailed, OSError) as error:
        return CheckAnswer(ok=False, node=node_name(), error=str(error))
    finally:
        process.close()
        staging.close()
    wrong = "; ".join(ready.not_imported)
    return CheckAnswer(ok=not wrong, node=node_name(), error=wrong, environment=ready.environment)


def main(argv: list[str]) -> int:
    """Entry; exit status 1 where something is wrong."""
    keep_private()
    folder = os.path.join(argv[0], argv[1])
    answer = check(Plan.load(folder), folder, lambda line: print(line, flush=True))
    Path(folder, "answer.part").write_text(json.dumps(attrs.asdict(answer)))
    os.replace(os.path.join(folder, "answer.part"), os.path.join(folder, "answer.json"))
    return 0 if answer.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
