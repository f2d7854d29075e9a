"""Which class of tasks each stage is given: what its upstream gives, resolved along the pipeline. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from hpcurate.command import Command
from hpcurate.errors import PipelineError
from hpcurate.group import SortRows
from hpcurate.members import resolved_types
from hpcurate.planning.sort_steps import group_stage
from hpcurate.source.base import Source
from hpcurate.spec import find_task
from hpcurate.stage import Stage, members, task_types, union_of
from hpcurate.store.rows import check_task_type
from hpcurate.task import Record, Task


class Classes(msgspec.Struct, frozen=True):
    """Classes of tasks, as `module:qualname`."""

    takes: dict[str, str]
    """Stage → what it is given; empty where it takes and gives what it declares."""
    kinds: dict[str, dict[str, str]]
    """Stage that joins several classes → what each of its upstreams gives."""


def resolved_classes(
    source: Source, stages: Mapping[str, Stage[Any, Any]], after: Mapping[str, Sequence[str]], order: Sequence[str]
) -> Classes:
    """Of each stage what it is given.

    Neighbours fit, each stage can work on what it is given, and every class that travels between them survives a row.
    Raises PipelineError naming the stage.
    """
    gives: dict[str, type[Task]] = {}
    takes: dict[str, str] = {}
    kinds: dict[str, dict[str, str]] = {}
    names: dict[str, KnownNames] = {}
    for name in order:
        before, comes = ("the source", _task_type(source)) if not after[name] else (after[name][0], Task)
        several = {upstream: gives[upstream] for upstream in after[name]}
        if joined := joins(name, stages[name], several):
            kinds[name] = {upstream: _named(name, kind) for upstream, kind in several.items()}
        elif several:
            comes = _coming(name, several)
        try:
            types = resolved_types(stages[name], comes, name=f"stages.{name}", before=before)
        except PipelineError as error:
            raise PipelineError(f"{error}; {_way_out(name, comes, after[name])}") from None
        known = _joined([names[one] for one in after[name]])
        for member, (given, returned) in zip(members(stages[name]), types):
            _check_member(_owner(name, member, after), member, given, returned)
            known = _names_after(name, member, given, known)
        names[name] = known
        gives[name] = types[-1][1]
        for kind in (*(several.values() if joined else (comes,)), gives[name]):
            check_task_type(kind)
        declared = [task_types(type(member)) for member in members(stages[name])]
        takes[name] = "" if types == declared else _named(name, comes)
    return Classes(takes, kinds)


def joins(name: str, stage: Stage[Any, Any], comes: Mapping[str, type[Task]]) -> bool:
    """Whether a stage joins tasks of several classes, as it declares. Raises PipelineError where they are others."""
    union = union_of(type(members(stage)[0]))
    if not union:
        return False
    if group_stage(name, stage) is None:
        raise PipelineError(f"stages.{name} takes one of several classes, which only a hpcurate.GroupStage can")
    odd = next((upstream for upstream, kind in comes.items() if kind not in union), None)
    if odd is not None or not comes:
        listed = " or ".join(kind.__qualname__ for kind in union)
        gives = f"{odd} gives {comes[odd].__qualname__}" if odd else "it reads the input"
        raise PipelineError(f"stages.{name} takes {listed}, exactly these, but {gives}; change stages.{name}.after")
    return True


def _way_out(name: str, comes: type[Task], after: Sequence[str]) -> str:
    """What to do about a stage that does not fit what it follows. Pure."""
    out = f"put a stage between them, or change stages.{name}.after"
    if not issubclass(comes, Record):
        return out
    return f"{out}; a command returns Records and can be a branch: stages.{after[0]}.after=[…], a list"


KnownNames = frozenset[str] | None
"""Names that a command's arguments may have of a task; None: not known, as a stage of the user's makes its Records."""


def _names_after(name: str, member: Stage[Any, Any], given: type[Task], records: KnownNames) -> KnownNames:
    """Those of the tasks that it returns. `records`: those of the Records that come in. Raises PipelineError."""
    known = records if issubclass(given, Record) else frozenset(field.name for field in attrs.fields(given))
    if not isinstance(member, Command):
        return None
    try:
        member.declared.check_known(known)
    except PipelineError as error:
        raise PipelineError(f"stages.{name}: {error}") from None
    return member.declared.known_after(known)


def _joined(several: Sequence[KnownNames]) -> KnownNames:
    """Those of tasks that come together."""
    known = [names for names in several if names is not None]
    return frozenset().union(*known) if several and len(known) == len(several) else None


def _check_member(name: str, member: Stage[Any, Any], given: type[Task], returned: type[Task]) -> None:
    """It accepts what it is given; where it extends what it declares, nobody else's fields are lost on the way."""
    takes = task_types(type(member))[0]
    if takes is not Task and issubclass(returned, takes) and not issubclass(returned, given):
        lost = [field.name for field in attrs.fields(given) if field.name not in attrs.fields_dict(returned)]
        if lost:
            raise PipelineError(
                f"stages.{name} is given {given.__qualname__} and gives {returned.__qualname__}, which has no field "
                f"{lost[0]!r}; write class {returned.__qualname__}({given.__qualname__}), or, if it is not needed any "
                f"more, {type(member).__name__}(Stage[Task, {returned.__qualname__}])"
            )
    try:
        member.accept(given)
    except PipelineError as error:
        raise PipelineError(f"stages.{name}: {error}") from None


def _owner(name: str, member: Stage[Any, Any], after: Mapping[str, Sequence[str]]) -> str:
    """The stage that a user wrote: of a sort step the one that it sorts for."""
    return next(one for one in after if name in after[one]) if isinstance(member, SortRows) else name


def _coming(name: str, gives: Mapping[str, type[Task]]) -> type[Task]:
    """The one class that all its upstreams give."""
    if len(set(gives.values())) > 1:
        told = ", ".join(f"{one} gives {kind.__qualname__}" for one, kind in gives.items())
        raise PipelineError(
            f"stages.{name}.after: {told}; a stage with several upstreams takes one class of tasks: have them give "
            "the same, put a stage behind one of them that makes it the other's, or join them: "
            "GroupStage[Union[A, B], C]"
        )
    return next(iter(gives.values()))


def _named(name: str, kind: type[Task]) -> str:
    """How a stage process finds the class."""
    target = f"{kind.__module__}:{kind.__qualname__}"
    try:
        if find_task(target) is kind:
            return target
        reason = "that name is another class now"
    except PipelineError as error:
        reason = str(error)
    raise PipelineError(
        f"stages.{name} is given {kind.__qualname__}, which a stage process has to import by its name: {reason}; "
        "define it at the top of a module"
    )


def _task_type(source: Source) -> type[Task]:
    kind = getattr(source, "task_type", None)
    if isinstance(kind, type) and issubclass(kind, Task):
        return kind
    raise PipelineError(
        f"source: task_type of {type(source).__qualname__} is {kind!r}; expected the class of its tasks, "
        "a subclass of hpcurate.Task"
    )
