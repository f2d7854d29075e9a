"""Paths that have another name in the store that a run comes to. Pure."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from hpcurate.errors import ConfigError

__all__ = ["Paths"]


class Paths(msgspec.Struct, frozen=True):
    """Old → new; the longest one that fits counts."""

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def typed(cls, words: Iterable[str]) -> Paths:
        """Of `--path OLD=NEW`. Raises ConfigError."""
        found = dict[str, str]()
        for word in words:
            old, equals, new = word.partition("=")
            if not equals or not os.path.isabs(old) or not new:
                raise ConfigError(f"--path {word}: expected OLD=NEW, OLD as an absolute path: /data/videos=/mnt/videos")
            old, new = os.path.normpath(old), os.path.abspath(os.path.expanduser(new))
            if found.setdefault(old, new) != new:
                raise ConfigError(f"--path {old}: has two new places, {found[old]} and {new}")
        return cls(tuple(found.items()))

    def also(self, old: str, new: str) -> Paths:
        """With one more, unless it is there."""
        return self if old in dict(self.pairs) else Paths((*self.pairs, (old, new)))

    def of(self, path: str) -> str:
        """The path there, of one that is, or is below, an old one; else as it is."""
        for old, new in self._longest_first():
            if _has(old, path):
                return new + path[len(old.rstrip("/")) :]
        return path

    def typed_in(self, folder: str, texts: Iterable[str]) -> Paths:
        """Of relative paths, as somebody typed them in a folder: those that an old one has, each with its new place."""
        there = {text: os.path.normpath(os.path.join(folder, text)) for text in texts if not os.path.isabs(text)}
        named = ((old, path) for old, path in there.items() if any(_has(one, path) for one, _ in self.pairs))
        return Paths(tuple((old, self.of(path)) for old, path in named if folder and "://" not in old))

    def below(self, path: str) -> bool:
        """Whether a new path has it."""
        return any(_has(new, path) for _, new in self.pairs)

    def within(self, value: Any) -> Any:
        """Plain data, in which texts that are such paths are replaced."""
        if isinstance(value, str):
            return self.of(value)
        if isinstance(value, (list, tuple)):
            return [self.within(inner) for inner in value]
        if isinstance(value, dict):
            return {key: self.within(inner) for key, inner in value.items()}
        return value

    def words(self, words: Iterable[str]) -> tuple[str, ...]:
        """What was typed, `key=value`, also where a value is a list or has names."""
        if not self.pairs:
            return tuple(words)
        places = dict(self._longest_first())
        wanted = "|".join(map(re.escape, places))
        typed = re.compile(rf"(?<=[=\[{{,:'\" ])({wanted})(?=$|[/,\]}}'\" ])")
        return tuple(typed.sub(lambda found: places[found[1]], word) for word in words)

    def rows(self, data: bytes) -> bytes:
        """Rows of JSON, in which texts that are such paths are replaced: every other byte stays.

        A quote that begins a text has no backslash before it; one that ends a text has no `/` behind it.
        """
        if not self.pairs:
            return data
        places = {_as_json(old): _as_json(new) for old, new in self._longest_first()}
        wanted = b"|".join(map(re.escape, places))
        return re.sub(rb'(?<!\\)"(' + wanted + rb')(?=[/"])', lambda found: b'"' + places[found[1]], data)

    def _longest_first(self) -> list[tuple[str, str]]:
        return sorted(self.pairs, key=lambda pair: len(pair[0]), reverse=True)


def _has(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _as_json(path: str) -> bytes:
    """As rows have it: UTF-8, and escapes only where JSON needs them."""
    try:
        return json.dumps(path, ensure_ascii=False).encode()[1:-1]
    except UnicodeEncodeError:
        return json.dumps(path).encode()[1:-1]
