"""`hpcurate trace`: what became of one item in every stage, and where a file comes from."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from hpcurate.cli.terminal import show, show_json
from hpcurate.cli.text import one_line
from hpcurate.cli.verbs.common import RUN_HELP, heading, store_parser, the_store
from hpcurate.errors import StoreError
from hpcurate.report.amounts import words
from hpcurate.report.items import KEPT, Hit
from hpcurate.report.provenance import Origin, Provenance
from hpcurate.report.row_files import is_reference
from hpcurate.report.run_view import RunView
from hpcurate.report.story import Became, Step, Story
from hpcurate.report.trace import Ambiguous, Trace, trace
from hpcurate.report.traced_run import run_of, store_above
from hpcurate.runs.commands import verb as verb_line
from hpcurate.runs.folder import Run, find_run
from hpcurate.store.dropped import LeftOutRow
from hpcurate.units import bytes_text, plural

WIDTH = 80
CHILDREN = 20
"""Tasks made of one that are told one by one."""
VALUES = 6
"""Values that are shown of a step."""
LONGEST = 40
"""Characters of a value that are shown."""
CANDIDATES = 10


def parser() -> argparse.ArgumentParser:
    """See `hpcurate trace --help`."""
    made = store_parser("trace", "what became of one item in every stage; of an output file, also where it comes from")
    item = "name or part of the path of an input, an id or its beginning, or a file of the output or of a stage"
    made.add_argument("item", metavar="ITEM", help=item)
    made.add_argument("run", nargs="?", metavar="RUN", help=RUN_HELP)
    made.add_argument("--all", action="store_true", help=f"all tasks that were made of a task, not {CHILDREN} of them")
    made.add_argument("--json", action="store_true", help="print JSON: all values, all tasks")
    return made


def verb(argv: list[str]) -> int:
    """Print it. Raises StoreError where nothing, or more than one item, is meant."""
    options = parser().parse_args(argv[1:])
    run = _the_run(options)
    try:
        found = trace(RunView(run), options.item)
    except Ambiguous as error:
        raise StoreError("\n".join(candidate_lines(options.item, run, error.hits))) from None
    if options.json:
        show_json(found.plain())
    else:
        show(trace_lines(found, most=None if options.all else CHILDREN))
    return 0


def candidate_lines(wanted: str, run: Run, hits: Sequence[Hit]) -> list[str]:
    """The items that fit, and what to type for one of them. Pure."""
    fit = plural(len(hits), "item") if len(hits) < KEPT else f"{KEPT} items or more"
    lines = [f"{wanted}: {fit} of {run.name} fit; type one of"]
    names = Counter(hit.name for hit in hits)
    for hit in hits[:CANDIDATES]:
        item = hit.name if names[hit.name] == 1 else hit.id
        lines.append(f"  {verb_line('trace', item, run.store.root, run.name)}")
    more = len(hits) - CANDIDATES
    return lines + ([f"  or one of {more} more"] if more > 0 else [])


# -- lines, pure ------------------------------------------------------------------------------------


def trace_lines(found: Trace, width: int = WIDTH, most: int | None = CHILDREN) -> list[str]:
    """What is printed: the run, then each story as a tree, then where a file comes from."""
    lines = [heading(found.report)]
    for story in found.stories:
        lines += ["", *_title(story, width), "", *_steps(story, width, most)]
    lines += ["", *provenance_lines(found.provenance, width)] if found.provenance else []
    return [one_line(line) for line in lines]


def _title(story: Story, width: int) -> list[str]:
    first = story.first
    known = [first["path"]] if first.get("path") not in (None, story.name) else []
    known += [bytes_text(first["size"])] if isinstance(first.get("size"), int) else []
    return [story.name, *_wrapped([*known, f"id {story.id}", *_parents(story)], "  ", width)]


def _parents(story: Story) -> list[str]:
    """That it was made of several tasks."""
    count = len(story.first.get("parents") or ())
    return [f"made of {count} tasks"] if count > 1 else []


def _steps(story: Story, width: int, most: int | None) -> list[str]:
    """The steps of a task, and the tasks made in each below it."""
    steps = _together(story.steps)
    column = max((len(step.stage) for step in steps), default=0) + 2
    lines = [line for step in steps for line in _step(step, column, width, most)] or ["no stage reads it"]
    paths = story.outputs or [f"{path} (gone)" if path in story.gone else path for path in story.files]
    return [*lines, *(f"{'files' if not place else '':<{column}}{path}" for place, path in enumerate(paths))]


def _together(steps: Iterable[Step]) -> list[Step]:
    """Neighbours that merely passed the task on as one: `write, index  passed on`."""
    found = list[Step]()
    for step in steps:
        plain = Step(stage=step.stage, became=Became.PASSED, shard=step.shard)
        if step == plain and found and found[-1] == attrs.evolve(plain, stage=found[-1].stage, shard=found[-1].shard):
            found[-1] = attrs.evolve(found[-1], stage=f"{found[-1].stage}, {step.stage}")
        else:
            found.append(step)
    return found


def _step(step: Step, column: int, width: int, most: int | None) -> list[str]:
    indent = " " * column
    lines = _wrapped(_what(step).split(" "), f"{step.stage:<{column}}", width, " ")
    lines += [f"{indent}{one}" for one in _measured(step)]
    shown = {k: v for k, v in step.values.items() if step.drop is None or k != step.drop.measure}
    lines += _wrapped(_values(shown), indent, width)
    lines += [f"{indent}left out of it: {_left_out(one)}" for one in step.left_out]
    if step.log is not None:
        lines.append(f"{indent}log {step.log.path}:{step.log.line}")
        lines += [f"{indent}  {line}" for line in step.log.mentions]
    return lines + _tree(step.made, width, most)


def _measured(step: Step) -> list[str]:
    """What a dropped task measured and what it had to meet; where its stage does not say that, the parameters."""
    drop = step.drop
    if drop is not None and drop.value is not None:
        had_to = f" (threshold {_value(drop.threshold)})" if drop.threshold is not None else ""
        return [f"{drop.measure or 'value'} {_value(drop.value)}{had_to}"]
    given = [f"{name}={_value(value)}" for name, value in step.parameters.items() if not isinstance(value, list | dict)]
    return [f"with {', '.join(given)}"] if given else []


def _left_out(one: LeftOutRow) -> str:
    amounts = f" ({words(one.amounts)})" if one.amounts else ""
    return f"{one.count} {one.reason}{amounts}"


def _what(step: Step) -> str:
    by = f" by {step.member}" if step.member else ""
    of = f" in {step.member}" if step.member else ""
    again = "; tried again" if step.retried else ""
    return {
        Became.PASSED: "passed on" + (f", {_made(step)}" if step.made or step.untold else ""),
        Became.MADE: _made(step),
        Became.DROPPED: f"dropped{by}: {step.reason}",
        Became.NOT_RETURNED: f"neither passed on nor dropped{by}",
        Became.FAILED: f"failed{of}: {step.reason}{again}",
        Became.WAITS: f"waits: {step.reason}",
        Became.UNKNOWN: step.reason or "passed on, and no row names it",
    }[step.became]


def _made(step: Step) -> str:
    count = len(step.made) + step.untold
    which = f", {len(step.made)} of them shown" if step.untold and step.made else ""
    return f"{plural(count, 'task')} made{which}"


def _tree(stories: Sequence[Story], width: int, most: int | None) -> list[str]:
    """Each task with a branch to it, and what is left out in a line."""
    shown, rest = (stories, ()) if most is None else (stories[:most], stories[most:])
    lines = []
    for place, story in enumerate(shown):
        last = place == len(shown) - 1 and not rest
        bar = "   " if last else "│  "
        lines.append(f"{'└─' if last else '├─'} {story.id}")
        values = [*_parents(story), *_values(story.values)]
        inner = [*_wrapped(values, "", width - 3), *_steps(story, width - 3, most)]
        lines += [f"{bar}{line}".rstrip() for line in inner]
    return lines + ([f"└─ and {len(rest)} more (--all): {_endings(rest)}"] if rest else [])


def _endings(stories: Iterable[Story]) -> str:
    """How tasks ended, and how many so: `150 passed on by index, 40 dropped in clips`."""
    ends = [story.end for story in stories]
    counts = Counter("not read" if end is None else f"{end.became.value} in {end.stage}" for end in ends)
    return ", ".join(f"{count} {how}" for how, count in counts.most_common())


def _values(values: dict[str, Any]) -> list[str]:
    """`motion 0.8`, `frames 130`: measures first, the first few; files have lines of their own."""
    known = {
        name: value for name, value in values.items() if (value or isinstance(value, float)) and not is_reference(value)
    }
    plain = [f"{name} {_value(value)}" for name, value in sorted(known.items(), key=lambda item: _weight(item[1]))]
    more = len(plain) - VALUES
    return plain[:VALUES] + ([f"and {more} more (--json)"] if more > 0 else [])


def _weight(value: Any) -> int:
    """What comes first: measures, words, counts, flags, and what holds more than one value."""
    kinds = (float, str, int, bool)
    return kinds.index(type(value)) if type(value) in kinds else len(kinds)


def _value(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"({len(value)})"
    text = f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _wrapped(parts: Sequence[str], before: str, width: int, between: str = ", ") -> list[str]:
    """Parts in lines of that width, each part whole; `before` the first, and as much room before the others."""
    lines, line = list[str](), before
    for place, part in enumerate(parts):
        piece = part + between.rstrip() * (place < len(parts) - 1)
        room = line + (" " if line.strip() and line != before else "") + piece
        if len(room) > width and line.strip() and line != before:
            lines.append(line)
            room = " " * len(before) + piece
        line = room
    return [*lines, line] if parts else []


def provenance_lines(found: Provenance, width: int = WIDTH) -> list[str]:
    """Run, configuration, code, models and input of a file."""
    packages = ", ".join(f"{name} {version}" for name, version in found.packages.items())
    rows = [
        ("run", f"{found.run} (pipeline {found.pipeline}, store {found.store})"),
        ("command", found.command),
        *([("by", found.by)] if found.by else []),
        ("config", found.config),
        ("code", found.code + (f" (hpcurate {found.hpcurate})" if found.hpcurate else "")),
        *([("git", found.checkout)] if found.checkout else []),
        *([("packages", packages)] if packages else []),
        *(("input", _origin(one)) for one in found.input),
        *((one.stage, ", ".join([*one.classes, *one.models, one.folder])) for one in found.stages),
    ]
    column = max(len(name) for name, _ in rows) + 4
    lines = [f"where {os.path.basename(found.file)} comes from"]
    return lines + [
        line for name, text in rows for line in _wrapped(text.split(" "), f"{f'  {name}':<{column}}", width, " ")
    ]


def _origin(one: Origin) -> str:
    size = "" if one.size is None else f", {bytes_text(one.size)}"
    return f"{one.path}{size}" + (", changed since it was taken in" if one.changed else "")


def _the_run(options: argparse.Namespace) -> Run:
    """The one that is named, that of the file that is named, or the latest."""
    if options.store is None and options.run is None and (above := store_above(options.item)) is not None:
        return run_of(options.item, above) or find_run(above, None)
    store = the_store(options)
    found = run_of(options.item, store) if options.run is None else None
    return found or find_run(store, options.run)
