"""What became of some tasks, and in what that differs from what became of them before. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from hpcurate.golden.rules import Rules
from hpcurate.golden.values import Difference, FileDiffers, KeptFile, differences

__all__ = ["Change", "Comparison", "Kept", "compare", "lines_of", "unknown_fields"]

Plain = dict[str, Any]

PASSED, DROPPED, FAILED, WRITTEN = "passed on", "dropped", "failed", "written"
SAID = {DROPPED: ("stage", "reason", "value", "threshold", "measure", "task"), FAILED: ("stage", "error", "message")}
"""What is compared of a row of `dropped.jsonl` and `failed.jsonl`; the traceback and the number of tries are not."""
ENDING = "(ended as)"
WIDEST = 300
"""Characters of a line about a field."""


@attrs.define(frozen=True)
class Kept:
    """What became of some tasks: rows as plain values, in which files are `KeptFile`s."""

    tasks: Sequence[Plain] = ()
    """Passed on."""
    dropped: Sequence[Plain] = ()
    failed: Sequence[Plain] = ()
    written: Sequence[Plain] = ()
    """Files that a stage wrote into the folder of the result: `id` is the name in it, `file` the file."""

    def compared(self) -> Kept:
        """Without what is not compared, such as tracebacks, which name folders of a machine."""
        dropped, failed = (
            [{key: row[key] for key in ("id", "task", *SAID[how]) if key in row} for row in rows]
            for how, rows in ((DROPPED, self.dropped), (FAILED, self.failed))
        )
        return Kept(self.tasks, dropped, failed, self.written)

    def counts(self) -> str:
        """`3 passed on, 1 dropped, 0 failed`."""
        files = f", {len(self.written)} files {WRITTEN}" if self.written else ""
        return f"{len(self.tasks)} {PASSED}, {len(self.dropped)} {DROPPED}, {len(self.failed)} {FAILED}{files}"


@attrs.define(frozen=True)
class Change:
    """A task that did not end as before."""

    id: str
    name: str
    """What a user calls it."""
    kind: str
    """`changed`, `missing` or `additional`."""
    differences: tuple[Difference, ...] = ()


@attrs.define(frozen=True)
class Comparison:
    """What became of tasks before and now."""

    same: int
    changes: tuple[Change, ...]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not self.changes

    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        found = Counter(change.kind for change in self.changes)
        return {"same": self.same, **{kind: found[kind] for kind in ("changed", "missing", "additional")}}

    def plain(self) -> Plain:
        """As JSON."""
        return {**self.counts(), "changes": [attrs.asdict(change) for change in self.changes]}


@attrs.define(frozen=True)
class _End:
    """How one task ended."""

    how: str
    row: Plain

    @property
    def compared(self) -> Plain:
        """What is compared of it."""
        return {key: self.row[key] for key in SAID[self.how] if key in self.row} if self.how in SAID else self.row

    def __str__(self) -> str:
        said = [self.row.get(name) for name in ("reason", "error", "message")] if self.how in SAID else []
        return ": ".join([self.how, *(one for one in said if isinstance(one, str) and one)])


def compare(before: Kept, after: Kept, rules: Rules, file_differs: FileDiffers) -> Comparison:
    """Task by task, by id; several with one id in their order."""
    old, new = dict(_ends(before)), dict(_ends(after))
    changes = []
    for key in dict.fromkeys([*old, *new]):
        if key not in new:
            changes.append(_only(key[0], old[key], "missing"))
        elif key not in old:
            changes.append(_only(key[0], new[key], "additional"))
        elif found := _between(old[key], new[key], rules, file_differs):
            changes.append(Change(key[0], name_of(new[key].row), "changed", tuple(found)))
    return Comparison(len(old.keys() & new.keys()) - sum(one.kind == "changed" for one in changes), tuple(changes))


def _ends(kept: Kept) -> Iterator[tuple[tuple[str, int], _End]]:
    seen: Counter[str] = Counter()
    for how, rows in ((PASSED, kept.tasks), (DROPPED, kept.dropped), (FAILED, kept.failed), (WRITTEN, kept.written)):
        for row in rows:
            name = f"file {row['id']}" if how == WRITTEN else str(row["id"])
            yield (name, seen[name]), _End(how, row)
            seen[name] += 1


def _only(item: str, end: _End, kind: str) -> Change:
    said = (str(end), "") if kind == "missing" else ("", str(end))
    return Change(item, name_of(end.row), kind, (Difference(ENDING, *said),))


def _between(before: _End, after: _End, rules: Rules, file_differs: FileDiffers) -> list[Difference]:
    if before.how != after.how:
        return [Difference(ENDING, str(before), str(after))]
    return differences(before.compared, after.compared, rules, file_differs)


def name_of(row: Plain) -> str:
    """What a user calls the task of a row; empty where it has nothing but its id."""
    task = row.get("task") if isinstance(row.get("task"), dict) else row
    found = task.get("source") or task.get("path") if isinstance(task, dict) else None
    return found.name if isinstance(found, KeptFile) else found if isinstance(found, str) else ""


def unknown_fields(rules: Rules, *sides: Kept) -> list[str]:
    """A line for each name in the rules that is none of a field on any side, nor of one in a file."""
    if not (rules.tolerances or rules.ignored):
        return []
    fields: dict[str, bool] = {}
    for kept in (side.compared() for side in sides):
        for row in (*kept.tasks, *kept.dropped, *kept.failed, *kept.written):
            _note_fields(row, "", fields)
    unknown = rules.unknown(fields, [name for name, is_file in fields.items() if is_file])
    there = ", ".join(sorted(name for name in fields if "." not in name))
    return [f"{name!r}: no task has a field of that name, so it changes nothing; there are {there}" for name in unknown]


def _note_fields(value: Any, field: str, fields: dict[str, bool]) -> None:
    """Adds name → whether it is a file, of a field and of all below it."""
    if field:
        fields[field] = fields.get(field, False) or isinstance(value, KeptFile)
    if isinstance(value, dict):
        for key, inner in value.items():
            _note_fields(inner, f"{field}.{key}" if field else str(key), fields)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, (dict, list, KeptFile)):
                _note_fields(inner, field, fields)


# -- as lines -------------------------------------------------------------------------------------------


def lines_of(comparison: Comparison, most: int = 10, fields: int = 5) -> list[str]:
    """How many are the same, and the first differences: id, field, before → after."""
    counts = ", ".join(f"{count} {kind}" for kind, count in comparison.counts().items())
    lines = [counts]
    for change in comparison.changes[:most]:
        name = f"  {_one_line(change.name)}" if change.name not in ("", change.id) else ""
        lines.append(f"{change.kind}: {_one_line(change.id)}{name}")
        lines += [f"    {_line(one)}" for one in change.differences[:fields]]
        if len(change.differences) > fields:
            lines.append(f"    and {len(change.differences) - fields} more fields")
    if len(comparison.changes) > most:
        lines.append(f"and {len(comparison.changes) - most} more tasks")
    return lines


def _one_line(text: str) -> str:
    """No name breaks a line, or a terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _line(one: Difference) -> str:
    field = one.field or "(all of it)"
    if not one.after or not one.before:
        return _one_line(one.before or one.after)[:WIDEST]
    changed = one.after if one.before == one.after else f"{one.before} → {one.after}"
    return (_one_line(f"{field}: {changed}") + (f" ({one.more})" if one.more else ""))[:WIDEST]
