"""Items that a person leaves out of any source, by globs and by files of names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, option
from hpcurate.source.base import Source
from hpcurate.source.names import Wanted, calls, wanted
from hpcurate.source.several import notes_of, several_in
from hpcurate.task import Task
from hpcurate.units import plural

__all__ = ["Exclude", "exclusion_in"]


def _several(value: Any) -> tuple[str, ...]:
    several = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
    if odd := [one for one in several if not isinstance(one, str)]:
        raise ConfigError(f"exclude: {odd[0]!a}: expected a glob, drafts/**, or @FILE with a name a line")
    return tuple(several)


@attrs.define(frozen=True)
class Exclude:
    """What is left of a source without these items. One that was taken in before is left out from now on."""

    source: Source
    exclude: tuple[str, ...] = option(
        NEEDED, "globs on the path of an item, e.g. drafts/**, and @FILE with a name a line", converter=_several
    )
    _wanted: tuple[Wanted, ...] = attrs.field(init=False, eq=False)
    _count: list[int] = attrs.field(factory=lambda: [0, 0], init=False, eq=False)
    """Items that the last enumeration has left out, and those that it has not, if it came to its end."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_wanted", tuple(wanted(text, "exclude") for text in self.exclude))

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        return self.source.task_type

    def identity(self) -> dict[str, Any]:
        """That of the source: what is left out does not change what the others become."""
        return self.source.identity()

    def has(self, task: Task) -> bool:
        """Whether an item is left out."""
        names = calls(task, several_in(self.source) is not None)
        return any([one.has(names) for one in self._wanted])  # each one, so that none counts as unused

    def tasks(self) -> Iterator[Task]:
        """See `Source`. Raises ConfigError if nothing is left."""
        excluded, left = 0, 0
        self._count[:] = [0, 0]
        for task in self.source.tasks():
            if self.has(task):
                excluded += 1
            else:
                left += 1
                yield task
        if excluded and not left:
            raise ConfigError(f"exclude={', '.join(self.exclude)}: leaves nothing of {plural(excluded, 'item')}")
        self._count[:] = [excluded, left]

    @property
    def left_out(self) -> set[int]:
        """That of the source: see `Undone`."""
        found: set[int] = getattr(self.source, "left_out", set())
        return found

    def notes(self) -> list[str]:
        """How many, and what is no item's name; nothing while not all were seen."""
        excluded, left = self._count
        said = [f"excluded: {plural(excluded, 'item')} ({', '.join(self.exclude)})"] * bool(excluded)
        unused = [one.unused() for one in self._wanted] if excluded + left else []
        return [*notes_of(self.source), *said, *(f"exclude: {text}" for text in unused if text)]


def exclusion_in(source: Source) -> Exclude | None:
    """The one that others may wrap."""
    while not isinstance(source, Exclude):
        if not hasattr(source, "source"):
            return None
        source = source.source
    return source
