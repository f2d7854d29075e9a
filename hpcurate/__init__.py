"""hpcurate: curate data in Slurm job arrays.

Light by design: importing it loads no Hydra, no submitit and no model library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Budget": "planning.budget",
    "Chain": "stage",
    "Command": "command",
    "CurrentOr": "stage",
    "File": "task",
    "FileTask": "task",
    "Files": "source",
    "GroupStage": "group",
    "Record": "task",
    "Resources": "stage",
    "Retry": "runs.retry",
    "Saved": "task",
    "Source": "source",
    "NodeInfo": "stage",
    "NodeServer": "server",
    "OpenRun": "api",
    "Stage": "stage",
    "StageOptions": "planning.options",
    "Step": "planning.build",
    "Task": "task",
    "WorkerInfo": "stage",
    "open": "api",
    "run": "api",
    "stable_id": "task",
}

__all__ = [name for name in _HOME if name != "open"]  # `from hpcurate import *` leaves Python's own open alone

if TYPE_CHECKING:
    from hpcurate.api import OpenRun as OpenRun
    from hpcurate.api import open as open
    from hpcurate.api import run as run
    from hpcurate.command import Command as Command
    from hpcurate.group import GroupStage as GroupStage
    from hpcurate.planning.budget import Budget as Budget
    from hpcurate.planning.build import Step as Step
    from hpcurate.planning.options import StageOptions as StageOptions
    from hpcurate.runs.retry import Retry as Retry
    from hpcurate.server import NodeServer as NodeServer
    from hpcurate.source import Files as Files
    from hpcurate.source import Source as Source
    from hpcurate.stage import Chain as Chain
    from hpcurate.stage import CurrentOr as CurrentOr
    from hpcurate.stage import NodeInfo as NodeInfo
    from hpcurate.stage import Resources as Resources
    from hpcurate.stage import Stage as Stage
    from hpcurate.stage import WorkerInfo as WorkerInfo
    from hpcurate.task import File as File
    from hpcurate.task import FileTask as FileTask
    from hpcurate.task import Record as Record
    from hpcurate.task import Saved as Saved
    from hpcurate.task import Task as Task
    from hpcurate.task import stable_id as stable_id


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    from importlib import import_module

    if name in _HOME:
        return getattr(import_module(f"hpcurate.{_HOME[name]}"), name)
    raise AttributeError(f"module 'hpcurate' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is public, and none of what was imported on the way."""
    return sorted(_HOME)
