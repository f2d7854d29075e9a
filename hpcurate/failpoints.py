"""Named places where a test may kill the process. Free of cost and effect unless the environment asks.

`HPCURATE_FAILPOINTS="commit.before_rename@/tmp/once"`: the process that first reaches the point and can
create the file dies there by SIGKILL, as if the node had lost power; later ones pass. Several points are
separated by commas.
"""

from __future__ import annotations

import os
import signal

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
"""Every failpoint there is; the kill tests go through this list."""


def _parse(text: str) -> dict[str, str]:
    return dict(item.split("@", 1) for item in text.split(",") if "@" in item)


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
