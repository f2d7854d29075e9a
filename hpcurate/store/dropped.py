"""Rows of what a shard has lost on purpose: `dropped.jsonl` and `left_out.jsonl`. Pure; Python 3.9."""

from __future__ import annotations

import json
from typing import Any, Optional, Union

import msgspec

from hpcurate.store.stats import Amounts


class DroppedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `dropped.jsonl`: a task that ended, on purpose or without a word."""

    id: str
    input: bool
    """Whether an input of the shard ended with it; else it was made on the way through a chain."""
    stage: str
    """Stage, or the member of a chain, that dropped it."""
    reason: str
    value: Union[float, str, None] = None
    """What was measured. Left out, as the next two, where the stage does not say."""
    threshold: Union[float, str, None] = None
    """What it had to meet."""
    measure: str = ""
    """The field of tasks that has such values, e.g. `motion`."""
    task: Optional[dict[str, Any]] = None
    """Its row; None for one that no row can hold, for an input of which all that was made was dropped, and where the
    stage has `brief_drops`."""

    def line(self) -> bytes:
        """One line of JSON, with its end."""
        return _line(msgspec.structs.asdict(self), ("value", "threshold", "measure"))


class LeftOutRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `left_out.jsonl`, which is there if anything was: what a stage left out of a task that went on."""

    id: str
    """Of the task."""
    stage: str
    """Stage, or the member of a chain, that left it out."""
    reason: str
    count: int
    amounts: Amounts
    task: Optional[dict[str, Any]] = None

    def line(self) -> bytes:
        """One line of JSON, with its end."""
        return _line(msgspec.structs.asdict(self), ())


def _line(plain: dict[str, Any], optional: tuple[str, ...]) -> bytes:
    known = {name: value for name, value in plain.items() if name not in optional or value not in (None, "")}
    return json.dumps(known, separators=(",", ":")).encode() + b"\n"
