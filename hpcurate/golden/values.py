"""Two plain values, compared field by field. Pure: what two files differ in, a function says that is handed in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, Callable

import attrs

from hpcurate.golden.rules import Rules, Tolerance

__all__ = ["Difference", "FileDiffers", "KeptFile", "differences", "files_in", "shown"]

LONGEST = 60
"""Characters of a value that are shown."""
NO_FIELD = "(no such field)"


@attrs.define(frozen=True)
class KeptFile:
    """A file that a row names: where it is now."""

    path: str
    is_input: bool = False
    """A path of the input, and no file that a stage made."""
    called: str = ""
    """Its name where it came from, if that is another one."""

    @property
    def name(self) -> str:
        """Final path component."""
        return self.called or os.path.basename(self.path)


@attrs.define(frozen=True)
class Difference:
    """A field that is not as it was."""

    field: str
    """Such as `boxes[3].score`; empty for the whole value."""
    before: str
    after: str
    """Both as they are shown."""
    more: str = ""
    """What else of it differs."""


def files_in(path: str) -> list[str]:
    """A file, or all files in a folder, sorted."""
    if not os.path.isdir(path):
        return [path]
    return sorted(os.path.join(base, name) for base, _, names in os.walk(path) for name in names)


FileDiffers = Callable[[str, KeptFile, KeptFile], str]
"""(field, before, after) → in what two files differ; empty where they are the same."""


def differences(before: Any, after: Any, rules: Rules, file_differs: FileDiffers, field: str = "") -> list[Difference]:
    """All fields that differ by more than the rules allow."""
    if rules.ignores(field):
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        return list(_in_mappings(before, after, rules, file_differs, field))
    if isinstance(before, list) and isinstance(after, list):
        return list(_in_lists(before, after, rules, file_differs, field))
    if isinstance(before, KeptFile) and isinstance(after, KeptFile):
        said = file_differs(field, before, after)
        return [Difference(field, before.name, after.name, said)] if said else []
    return [] if _same(before, after, rules.of(field)) else [Difference(field, shown(before), shown(after))]


def _in_mappings(
    before: dict[str, Any], after: dict[str, Any], rules: Rules, file_differs: FileDiffers, field: str
) -> Iterator[Difference]:
    for key in dict.fromkeys([*before, *after]):
        inner = f"{field}.{key}" if field else str(key)
        if key in before and key in after:
            yield from differences(before[key], after[key], rules, file_differs, inner)
        elif not rules.ignores(inner):
            yield Difference(inner, *(shown(one[key]) if key in one else NO_FIELD for one in (before, after)))


def _in_lists(
    before: list[Any], after: list[Any], rules: Rules, file_differs: FileDiffers, field: str
) -> Iterator[Difference]:
    if len(before) != len(after):
        yield Difference(field, shown(before), shown(after), f"{len(before)} elements → {len(after)}")
    elif _numbers(before) and _numbers(after):
        yield from _in_numbers(before, after, rules.of(field), field)
    else:
        for number, (one, other) in enumerate(zip(before, after)):
            yield from differences(one, other, rules, file_differs, f"{field}[{number}]")


def _in_numbers(before: list[Any], after: list[Any], tolerance: Tolerance, field: str) -> Iterator[Difference]:
    """One difference for all of a vector: where it is largest."""
    odd = [n for n, (one, other) in enumerate(zip(before, after)) if not tolerance.allows(one, other)]
    if odd:
        worst = max(odd, key=lambda n: _distance(before[n], after[n]))
        more = f"the largest of {len(odd)} that differ, of {len(before)}" if len(odd) > 1 else ""
        yield Difference(f"{field}[{worst}]", shown(before[worst]), shown(after[worst]), more)


def _distance(one: float, other: float) -> float:
    far = abs(one - other)
    return float("inf") if far != far else far


def _numbers(values: list[Any]) -> bool:
    return bool(values) and all(map(_is_number, values))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(before: Any, after: Any, tolerance: Tolerance) -> bool:
    """Numbers by value, whole or not; `true` is no 1."""
    if _is_number(before) and _is_number(after):
        return tolerance.allows(before, after)
    return type(before) is type(after) and bool(before == after)


def shown(value: Any) -> str:
    """A value in one short line: floats with all their digits."""
    if isinstance(value, KeptFile):
        return value.name
    text = json.dumps(value, ensure_ascii=False, default=lambda one: one.name)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
