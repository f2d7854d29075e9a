"""What holds for a stage and for all members of a chain: the classes of tasks on their way through, and the servers.

This module runs in every stage environment: Python 3.9 or newer, attrs, msgspec and the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hpcurate.errors import PipelineError
from hpcurate.server import NodeServer
from hpcurate.stage import Stage, members, task_types
from hpcurate.task import Task

__all__ = ["declared_input", "node_server_of", "resolve_types", "resolved_types", "stages_in"]


def stages_in(value: Any) -> Iterator[Stage[Any, Any]]:
    """A stage, and every stage among its parameters."""
    if isinstance(value, Stage):
        yield value
        value = value.arguments()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from stages_in(inner)


def node_server_of(stage: Stage[Any, Any]) -> NodeServer | None:
    """The server that the stage, or a member of the chain, asks. Raises PipelineError for two that differ."""
    found = list(dict.fromkeys(s for s in (member.node_server for member in members(stage)) if s is not None))
    if len(found) > 1:
        raise PipelineError("the stages of a Chain share one node_server, these differ; make them steps of their own")
    return found[0] if found else None


def declared_input(stage: Stage[Any, Any]) -> type[Task]:
    """What a stage says that it takes; a chain takes what its first member takes."""
    return task_types(type(members(stage)[0]))[0]


def resolved_types(
    stage: Stage[Any, Any], given: type[Task], *, name: str = "", before: str = "its input"
) -> list[tuple[type[Task], type[Task]]]:
    """The classes that each member of the stage takes and gives, where tasks of class `given` come in. Pure.

    A stage takes any subclass of what it declares; what it gives, `Stage.gives` answers. `name` and `before` are for
    the message: PipelineError.
    """
    name = name or type(stage).__qualname__
    found: list[tuple[type[Task], type[Task]]] = []
    for number, member in enumerate(members(stage)):
        takes = task_types(type(member))[0]
        if not issubclass(given, takes):
            who = f"{name} ({type(member).__name__})" if number else name
            raise PipelineError(f"{who} takes {takes.__qualname__}, but {before} gives {given.__qualname__}")
        found.append((given, member.gives(given)))
        given, before = found[-1][1], type(member).__name__
    return found


def resolve_types(stage: Stage[Any, Any], given: type[Task]) -> None:
    """Tell each member of the stage which classes it takes and gives."""
    for member, types in zip(members(stage), resolved_types(stage, given)):
        member.resolve(types)
