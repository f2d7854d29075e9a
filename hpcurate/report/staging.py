"""What was copied to nodes: weights and packed environments."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import attrs
import msgspec

from hpcurate.runs.folder import Run


@attrs.define(frozen=True, kw_only=True)
class StagingRecord:
    """One copy to one node, as a worker recorded it (`brought-*.json` beside its plan)."""

    what: str
    """`weights …` or `environment …`."""
    node: str
    copied_bytes: int
    seconds: float


@attrs.define(frozen=True, kw_only=True)
class Staged:
    """All copies of one model or environment."""

    what: str
    copied_bytes: int
    nodes: int
    slowest_s: float


def staging_records(run: Run) -> list[StagingRecord]:
    """Those of all submissions of a run."""
    paths = sorted(Path(run.path, "submissions").glob("*/brought-*.json"))
    return [msgspec.convert(json.loads(path.read_text()), StagingRecord) for path in paths]


def staged(records: Iterable[StagingRecord]) -> list[Staged]:
    """A sum for each model and environment, in the order of their first copy. Pure."""
    by_name: dict[str, list[StagingRecord]] = {}
    for record in records:
        by_name.setdefault(record.what, []).append(record)
    return [
        Staged(
            what=what,
            copied_bytes=sum(one.copied_bytes for one in copies),
            nodes=len({one.node for one in copies}),
            slowest_s=max(one.seconds for one in copies),
        )
        for what, copies in by_name.items()
    ]
