"""Any class with `infer(request) → result` as a stage: what it takes, and what comes of what it returns.

Runs in every stage environment: Python 3.9 or newer, attrs, msgspec and the standard library only.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Infers"]


@runtime_checkable
class Infers(Protocol):
    """A stage whose requests are those of a class with `infer`: what a form of it is made from."""

    infer_target: str
    """`module:name` of the class or factory."""
    infer_output: str
    """Key of the request under which `infer` is given a folder."""
