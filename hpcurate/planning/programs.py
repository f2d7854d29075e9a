"""Which modules a stage has by name: of a command what it runs, imports and returns; of others what they load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcurate.command import Command
from hpcurate.errors import PipelineError
from hpcurate.planning.modules import find_module, imported_names
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.stage import Stage, members

__all__ = ["check_programs", "program_modules"]


def program_modules(stage: Stage[Any, Any]) -> tuple[str, ...]:
    """Those that Python may load for a stage because a parameter names them, ours, the user's and installed ones."""
    return tuple(dict.fromkeys(name for member in members(stage) for name in _of(member)))


def _of(member: Stage[Any, Any]) -> list[str]:
    if not isinstance(member, Command):
        return list(member.loads())
    found = [name for module in member.modules() for name in (module, f"{module}.__main__")]
    scripts = [path for path in member.files.values() if path.endswith(".py")]
    returned = [member.declared.returns.partition(":")[0]] if member.declared.returns else []
    return [*found, *returned, *(name for path in scripts for name in imported_names(Path(path).read_bytes(), None))]


def check_programs(stages: Mapping[str, Stage[Any, Any]], planned: Mapping[str, PlannedStage]) -> None:
    """Whether the programs are found that run in the current environment. Raises PipelineError."""
    for name, stage in stages.items():
        if planned[name].env.python:
            continue
        for program in (program for member in members(stage) for program in member.lacks()):
            raise PipelineError(f"stages.{name}: argv[0]={program!r}: there is no such program in PATH; {_REMEDY}")
        for member in members(stage):
            for module in member.modules() if isinstance(member, Command) else ():
                if find_module(module).file is None and not find_module(module).folders:
                    raise PipelineError(
                        f"stages.{name}: argv: python -m {module}: there is no such module here; {_REMEDY}"
                    )


_REMEDY = "correct the name, install it, or name an environment that has it (env=)"
