"""Named places where a test may kill the process. Free of cost and effect unless the environment asks.

`HPCURATE_FAILPOINTS="commit.before_rename@/tmp/once"`: the process that first reaches the point and can
create the file dies there by SIGKILL, as if the node had lost power; later ones pass. With a third part,
`…@/tmp/once@hpcurate.worker`, only processes with that text in their command line die. Several points are
separated by commas.
"""

from __future__ import annotations

import os
import signal
import sys

POINTS = (
    "claim.before",
    "claim.after",
    "attempt.mid_write",
    "commit.before_rename",
    "commit.after_rename",
    "list.before",
    "list.after",
    "ticket.after",
    "submit.before",
    "submit.after",
    "gate.before_submit",
    "gate.start",
)
"""Those of a run; the kill tests go through this list."""
HOUSE_POINTS = (
    "clean.one_on_probation",
    "clean.on_probation",
    "clean.one_gone",
    "clean.gone",
    "rm.names",
    "rm.folder",
)
"""Those of verbs that remove something."""
FREE_POINTS = ("free.use", "free.moved", "free.put_back")
"""Those of a run that keeps only results."""
CARRY_POINTS = ("export.written", "import.unpacked", "import.shards", "import.list", "import.output", "import.run")
"""Those of a run that is carried to another store."""
CHECKPOINT_POINTS = (
    "checkpoint.before",
    "checkpoint.taken",
    "checkpoint.left",
    "checkpoint.before_removal",
)
"""Those of a stage that keeps checkpoints."""


def _parse(text: str) -> dict[str, str]:
    command = " ".join(getattr(sys, "orig_argv", sys.argv))
    armed = {}
    for item in text.split(","):
        name, _, rest = item.partition("@")
        marker, _, only = rest.partition("@")
        if marker and only in command:
            armed[name] = marker
    return armed


_ARMED = _parse(os.environ.get("HPCURATE_FAILPOINTS", ""))


def failpoint(name: str) -> None:
    """Die here if the environment armed this point and nobody has died at it yet."""
    if _ARMED and name in _ARMED and _first(_ARMED[name]):
        os.kill(os.getpid(), signal.SIGKILL)


def _first(marker: str) -> bool:
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True
