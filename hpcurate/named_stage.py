"""A stage as a name and plain values, which whoever only plans can read without its code. Python 3.9."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["StageSpec"]


class StageSpec(msgspec.Struct, frozen=True):
    """Class and constructor arguments of a stage, as plain values."""

    target: str
    """`module:qualname`."""
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    """Constructor arguments that differ from their defaults or were given; JSON values only."""
