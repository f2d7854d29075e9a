"""Where a run stands, as one value: what `summary.json` holds and `hpcurate status --json` prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from hpcurate.runs.folder import Run
from hpcurate.runs.state import RunState


class StageReport(msgspec.Struct, frozen=True, kw_only=True):
    """One stage over the live set. A Struct, because `in` can be a key of JSON but not a name of Python."""

    tasks_in: int = msgspec.field(name="in")
    tasks_out: int = msgspec.field(name="out")
    dropped: int
    failed: int
    shards: int | None
    """None: not known before the stage above is complete."""
    shards_done: int
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether all its shards are committed."""
        return self.shards == self.shards_done


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole run."""

    run: str
    pipeline: str
    state: RunState
    reason: str
    """Why the state is what it is; empty where nothing needs explaining."""
    as_of: str
    """When it was looked at, UTC."""
    stages: dict[str, StageReport]
    """In the order of the pipeline."""
    output: str
    """Folder of the result."""
    next: str
    """What to type now; empty for a complete run."""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> RunReport:
        """From the content of `summary.json`. Raises msgspec.ValidationError."""
        return msgspec.convert(plain, cls)

    @property
    def failed(self) -> int:
        """Dead letters over all stages."""
        return sum(stage.failed for stage in self.stages.values())

    def plain(self) -> dict[str, Any]:
        """The content of `summary.json`."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def written_report(run: Run) -> RunReport | None:
    """What the latest look at the run wrote; None if there is none that can be read."""
    with suppress(OSError, ValueError, msgspec.ValidationError):
        return RunReport.of(json.loads(Path(run.summary_json).read_text()))
    return None
