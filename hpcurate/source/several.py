"""Several folders, globs or lists as one input: each has a name, and its items are called by it.

The identity of such a source does not depend on which inputs there are, nor on their order: each has lists of its own,
and a run has just those of its inputs. So another folder adds its own work, and one that is left out takes away its
own results.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import attrs

from hpcurate.digest import digest
from hpcurate.errors import ConfigError
from hpcurate.source.base import FolderTask, GroupTask, Placed, Source, absolute, hash64
from hpcurate.source.row_task import RowTask
from hpcurate.task import FileTask, Task, stable_id

__all__ = ["Several", "input_of", "named_inputs", "several", "several_in", "taken_alone"]

KINDS = ((RowTask, "row"), (FileTask, "file"), (FolderTask, "folder"), (GroupTask, "group"))
"""Class of a task → what its source says before its name when it makes the id."""
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
"""`{0000..0003}`: folders that are numbered, as webdataset writes them."""
MOST = 10_000
"""Inputs that a range may stand for: each has a list of its own."""
DIGITS = 12
"""Of the digest that lists of an input begin with: two of 10,000 inputs collide once in five million such sets."""
NAME = "input name"
"""Key of `Task.memory` under which a task has the name of its input."""


@attrs.define(frozen=True)
class Several:
    """Items of several sources of one class, in the order of their names; `2024/a.mp4` is `a.mp4` of the input 2024.

    Rows of tables keep their ids.
    """

    sources: Mapping[str, Source]
    _paths: dict[int, str] = attrs.field(factory=dict, init=False, eq=False)
    """`hash64` of the path of each file → name of the input that has it."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.sources, Mapping):
            raise ConfigError("source: Several takes sources by name, Several({'old': Files(…), 'new': Files(…)})")
        for name, source in self.sources.items():
            _check_name(name, str(getattr(source, "path", source)))
        identities = [_without_path(source) for source in self.sources.values()]
        if not identities or any(one != identities[0] for one in identities):
            raise ConfigError("source: several inputs are of one class, and differ in their paths only")
        check_apart({name: str(getattr(source, "path", "")) for name, source in self.sources.items()})

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        return next(iter(self.sources.values())).task_type

    def identity(self) -> dict[str, Any]:
        """See `Source`. That of any other inputs, too: which they are is in `lists`."""
        return {"several": _without_path(next(iter(self.sources.values())))}

    @property
    def lists(self) -> dict[str, str]:
        """Name of each input, in order → what the names of its lists begin with."""
        identities = {name: {"name": name, "source": self.sources[name].identity()} for name in sorted(self.sources)}
        return {name: digest(identity)[:DIGITS] for name, identity in identities.items()}

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        return (task for _, task in self.placed())

    def placed(self) -> Iterator[Placed]:
        """See `Placed`."""
        self._paths.clear()
        folders = all(os.path.isdir(absolute(str(getattr(one, "path", "")))) for one in self.sources.values())
        for name in sorted(self.sources):
            for where, task in _placed(self.sources[name]):
                if not folders:
                    self._check_path(name, task)
                rename(task, name)
                yield where or f"{getattr(task, 'source', task.id)!a}", task

    def notes(self) -> list[str]:
        """Those of the sources."""
        return [f"{name}: {note}" for name in sorted(self.sources) for note in notes_of(self.sources[name])]

    def _check_path(self, name: str, task: Task) -> None:
        """Globs and lists may name a file twice. Raises ConfigError."""
        if type(task) is FileTask:  # rows of tables may be of one file
            other = self._paths.setdefault(hash64(task.path), name)
            if other != name:
                raise ConfigError(f"input: {task.path!a} is in {other!a} and in {name!a}; name each file once")


def several(make: Callable[[Any], Source], given: Any) -> Source:
    """The source of one path; or that of several, in a list or with names in a mapping. Raises ConfigError."""
    if not isinstance(given, (list, dict)) and not _is_range(given):
        return make(given)
    return Several({name: make(path) for name, path in named_inputs(given).items()})


def several_in(source: Source) -> Several | None:
    """The one that others may wrap."""
    while not isinstance(source, Several):
        if not hasattr(source, "source"):
            return None
        source = source.source
    return source


def input_of(task: Task) -> str:
    """Name of the input that a task of `Several` is from."""
    return str(task.memory.get(NAME, ""))


def notes_of(source: Source) -> list[str]:
    """What a source left out on purpose."""
    return list(getattr(source, "notes", list)())


def rename(task: Task, name: str) -> None:
    """Call a task by the name of its input, too."""
    task.memory[NAME] = name
    source = getattr(task, "source", None)
    kind = next((kind for cls, kind in KINDS if isinstance(task, cls)), None)
    if kind is None or not isinstance(source, str):
        return
    task.source = f"{name}/{source.lstrip('/')}"  # type: ignore[attr-defined]
    if task.id == stable_id(kind, source):
        task.id = stable_id(kind, task.source)  # type: ignore[attr-defined]


def taken_alone(source: Source, stages: Callable[[], Collection[str]]) -> list[str]:
    """A line on inputs that were taken in by themselves before: their items have other names now, and so are new ones.

    Nothing once several were taken in: then it was said. `stages`: names of the folders of the store's stages.
    """
    several = several_in(source)
    if several is None or _folder(several) in (known := set(stages())):
        return []
    paths = [str(getattr(one, "path", "")) for one in several.sources.values() if _folder(one) in known]
    return [
        f"{path}: was taken in by itself before; as one of several inputs its items have other names, "
        f"`{name_of(path)}/…`, and are done as new ones"
        for path in paths[:1]
    ]


def _folder(source: Source) -> str:
    """Its folder in a store."""
    return f"source-{digest({'source': source.identity()})[:12]}"


# -- names and paths --------------------------------------------------------------------------------


def named_inputs(given: str | list[str] | dict[str, str]) -> dict[str, str]:
    """Name of each input → its path. Raises ConfigError for two of one name. Pure but for a look at `{1..3}`."""
    if isinstance(given, dict):
        pairs = list(given.items())
    else:
        paths = [_checked_path(path) for path in ([given] if isinstance(given, str) else given)]
        pairs = [pair for path in paths for pair in (_numbered(path) if _is_range(path) else [(name_of(path), path)])]
    named: dict[str, str] = {}
    for name, path in pairs:
        _check_name(str(name), path)
        if named.setdefault(str(name), path) != path or not isinstance(path, str):
            raise ConfigError(
                f"input: {named[str(name)]} and {path} are both called {name!a}; give them names, "
                f"input={{one: {named[str(name)]}, two: {path}}}"
            )
    if not pairs:
        raise ConfigError("input=[]: names nothing; give a folder or a glob, or several, input=[/data/a,/data/b]")
    return named


def name_of(path: str) -> str:
    """What an input is called that has no name: its folder, or its file without the extension."""
    plain = path.rstrip("/") if "://" in path else absolute(path)
    if _is_glob(plain):
        parts = plain.split("/")
        return parts[next(n for n, part in enumerate(parts) if glob.has_magic(part)) - 1]
    last = plain.rpartition("/")[2]
    return os.path.splitext(last)[0] if os.path.isfile(plain) else last


def _checked_path(path: Any) -> str:
    if not isinstance(path, str) or not path:
        raise ConfigError(f"input: {path!a} is no path; expected a folder, a file or a glob (a number in quotes)")
    return path


def _check_name(name: Any, path: Any) -> None:
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ConfigError(f"input: {path} has no name of its own ({name!a}); give it one, input={{NAME: {path}}}")
    if not isinstance(path, str) or not path:
        raise ConfigError(f"input.{name}={path!a}: expected a path")


def _is_range(path: Any) -> bool:
    return isinstance(path, str) and RANGE.search(path) is not None and not os.path.lexists(absolute(path))


def _numbered(path: str) -> list[tuple[str, str]]:
    """`/data/{08..10}/clips` → (08, /data/08/clips), (09, …), (10, …). Pure. Raises ConfigError."""
    match = next(RANGE.finditer(path))
    low, high, digits = int(match[1]), int(match[2]), len(match[1])
    if not low <= high < low + MOST or RANGE.search(path, match.end()):
        raise ConfigError(
            f"input={path}: expected one range of at most {MOST}, the smaller number first: {{0000..0015}}"
        )
    before, after = path[: match.start()], path[match.end() :]
    stem, rest = before.rpartition("/")[2], after.partition("/")[0]
    texts = [f"{number:0{digits}d}" for number in range(low, high + 1)]
    return [(f"{stem}{text}{rest}", f"{before}{text}{after}") for text in texts]


def check_apart(paths: Mapping[str, str]) -> None:
    """Raise ConfigError for an input that is another one, or lies in it."""
    places = sorted((_place(path), path) for path in paths.values() if not _is_glob(path))
    for (outer, one), (inner, other) in itertools.pairwise(places):
        if inner.startswith(outer):
            what = "are the same" if inner == outer else "overlap"
            raise ConfigError(f"input: {one} and {other} {what}; name each file once")


def _is_glob(path: str) -> bool:
    """Not a folder that is called like one."""
    return glob.has_magic(path) and not os.path.exists(absolute(path))


def _place(path: str) -> str:
    """Where it is, links followed, with a slash behind it: so what is in it sorts right after it."""
    return (path if "://" in path else os.path.realpath(absolute(path))).rstrip("/") + "/"


def _without_path(source: Source) -> dict[str, Any]:
    if not attrs.has(type(source)) or not hasattr(source, "path"):
        raise ConfigError(f"source: {type(source).__name__} reads one input; name one")
    elsewhere: Source = attrs.evolve(source, path="/")  # type: ignore[misc]
    return elsewhere.identity()


def _placed(source: Source) -> Iterator[Placed]:
    placed: Callable[[], Iterator[Placed]] | None = getattr(source, "placed", None)
    return placed() if placed else (("", task) for task in source.tasks())
