"""Times of day for people, where they are. Pure but for the zone of this machine."""

from __future__ import annotations

import datetime
from contextlib import suppress

HALF_A_YEAR = datetime.timedelta(days=182)


def started_of(run: str) -> datetime.datetime | None:
    """When a run was started, from its name; None for a name that has no time."""
    with suppress(ValueError):
        return datetime.datetime.strptime(run[:15], "%Y%m%d-%H%M%S").replace(tzinfo=datetime.UTC)
    return None


def local(at: datetime.datetime, now: datetime.datetime) -> str:
    """`Nov 22 10:37`, or `Nov 22 2024` where that is long ago: as `ls -l` has it, in the zone of this machine."""
    recent = abs(now - at) < HALF_A_YEAR
    return at.astimezone().strftime("%b %d %H:%M" if recent else "%b %d %Y")
