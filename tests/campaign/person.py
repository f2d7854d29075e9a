"""Whoever typed the command, and looks at it again now and then. Pure."""

from __future__ import annotations

import enum

QUIET_S = 3.0
"""So long nothing is queued until a person believes it."""
STUCK_S = 90.0
"""So long nothing moves, though something is queued, until a person types the command again."""


class Move(enum.Enum):
    """What a person does next."""

    WAIT = "wait"
    TYPE = "type the command again"
    OVER = "over"


def next_move(*, state: str, calling: bool, jobs: int | None, empty_s: float, still_s: float) -> Move:
    """`jobs` of the run are queued, None where Slurm does not answer; none were since `empty_s`; no commit since `still_s`."""
    if calling:
        return Move.WAIT
    if state in ("complete", "failed"):
        return Move.OVER
    if jobs == 0 and empty_s >= QUIET_S:
        return Move.TYPE
    return Move.TYPE if jobs and still_s >= STUCK_S else Move.WAIT
