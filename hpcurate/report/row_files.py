"""Files that rows name, by the form of the reference alone, and those of the output. No class of tasks is needed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

REFERENCE = re.compile(r"[^/]+-[0-9a-f]{12}/shards/[^/]+/[^/]+/files/.+", re.DOTALL)
"""What a row holds of a `File`: where it lies below the store's `stages/`."""
FAN, DEEPEST = 2, 3
"""Characters of a folder that is named by a part of an id, and how many levels of these there are at most."""


def is_reference(value: Any) -> bool:
    """Whether a value of a row names a file of a shard."""
    return isinstance(value, str) and REFERENCE.fullmatch(value) is not None


def references(value: Any) -> Iterator[str]:
    """All files that a value names."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)
    elif is_reference(value):
        yield value


def with_files(value: Any, replace: Callable[[str], str]) -> Any:
    """The value with something else for each file that it names."""
    if isinstance(value, dict):
        return {key: with_files(inner, replace) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_files(inner, replace) for inner in value]
    return replace(value) if is_reference(value) else value


def files_of(plain: dict[str, Any], stages: str) -> tuple[str, ...]:
    """Absolute paths of the files that a row names, each once."""
    return tuple(dict.fromkeys(os.path.join(stages, one) for one in references(plain)))


class OutputFolder:
    """Files of an output folder by the task that they are named by. Each folder is listed once."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._names: dict[str, tuple[str, ...]] = {}

    def of(self, task_id: str, name: str = "") -> tuple[str, ...]:
        """Files under an id, in folders of two of its digits or in none, or at the place of a name in the input."""
        fans = ["/".join(task_id[2 * k : 2 * k + 2] for k in range(depth)) for depth in range(DEEPEST + 1)]
        places = [os.path.join(base, fan) for base in self._bases() for fan in fans]
        found = [path for place in places for path in self._named(place, task_id)]
        if name and not os.path.isabs(name):
            place, last = os.path.split(os.path.join(self.root, name))
            found += self._named(place, last)
        return tuple(dict.fromkeys(path for one in found for path in self._inside(one)))

    def _bases(self) -> Iterator[str]:
        """The folder, and two levels of folders in it; those of two digits are told by the id."""
        yield self.root
        for path in self._folders(self.root):
            yield path
            yield from self._folders(path)

    def _folders(self, path: str) -> list[str]:
        below = (os.path.join(path, name) for name in self._list(path) if len(name) > FAN)
        return [one for one in below if os.path.isdir(one)]

    def _named(self, place: str, name: str) -> list[str]:
        return [os.path.join(place, one) for one in self._list(place) if one == name or one.startswith(f"{name}.")]

    def _inside(self, path: str) -> list[str]:
        return [os.path.join(path, name) for name in self._list(path)] if os.path.isdir(path) else [path]

    def _list(self, path: str) -> tuple[str, ...]:
        if path not in self._names:
            try:
                self._names[path] = tuple(sorted(os.listdir(path)))
            except OSError:
                self._names[path] = ()
        return self._names[path]
