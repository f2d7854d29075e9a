"""A stage that cannot be started, as lines: one traceback, and how often it was the same."""

from __future__ import annotations

from collections.abc import Sequence

from hpcurate.report.setups import SetupFailure
from hpcurate.units import plural

NODES = 4
"""Nodes that are named."""


def setup_lines(failures: Sequence[SetupFailure]) -> list[str]:
    """Each with its traceback, whose last line says what is wrong, and with what may help. Pure."""
    return [line for failure in failures for line in ("", *_lines(failure))]


def _lines(failure: SetupFailure) -> list[str]:
    lines = [f"{failure.stage}: cannot be started{_how_often(failure)}:"]
    lines += [f"  {line}" for line in failure.trace or (failure.message,)]
    return lines + ([f"  what may help: {failure.help}"] if failure.help else [])


def _how_often(failure: SetupFailure) -> str:
    if failure.workers == 1:
        return f" on {failure.nodes[0]}"
    named = ", ".join(failure.nodes[:NODES]) + (", …" if len(failure.nodes) > NODES else "")
    return f", the same on {plural(failure.workers, 'worker')} of {plural(len(failure.nodes), 'node')} ({named})"
