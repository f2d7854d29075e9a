"""`hpcurate runs`, `note` and `compare`: list, search, annotate, set two side by side."""

from __future__ import annotations

import datetime
import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpcurate.cli.verbs.common import columns, show, store_parser, the_store
from hpcurate.config_files import read_yaml
from hpcurate.report.dead_letters import drop_reasons
from hpcurate.runs.driver import look
from hpcurate.runs.folder import Run, find_run, run_names
from hpcurate.runs.preview import part_differences
from hpcurate.runs.state import RunState


def verb(argv: list[str]) -> int:
    """One of the three."""
    return {"runs": _runs, "note": _note, "compare": _compare}[argv[0]](argv)


# -- runs -------------------------------------------------------------------------------------------


def _runs(argv: list[str]) -> int:
    parser = store_parser("runs", "the runs of a store, newest first")
    parser.add_argument("pattern", nargs="?", default="", help="in name, overrides, note, or any config value")
    parser.add_argument("--state", choices=[state.value for state in RunState], help="only these")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv[1:])
    store = the_store(options)
    found = [
        described(Run(store, name)) for name in reversed(run_names(store)) if _matches(store, name, options.pattern)
    ]
    found = [one for one in found if options.state in (None, one["state"])]
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    header = ("run", "state", "stages", "overrides", "note")
    rows = [tuple(str(one[key]) for key in header) for one in found]
    widths = [max([len(row[i]) for row in [header, *rows]]) for i in range(len(header))]
    show("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [header, *rows])
    return 0


def described(run: Run) -> dict[str, Any]:
    """What is known of a run from its own folder, without looking at its stages."""
    summary = _read_json(run.summary_json) or {}
    stages = summary.get("stages", {})
    done = sum(1 for s in stages.values() if s["shards"] is not None and s["shards"] == s["shards_done"])
    words = _read_json(os.path.join(run.path, "overrides.json")) or []
    return {
        "run": run.name,
        "state": summary.get("state", "?"),
        "as_of": summary.get("as_of", ""),
        "stages": f"{done}/{len(stages)}",
        "overrides": " ".join(word for word in words if not word.startswith(("store=", "+pipeline=", "pipeline="))),
        "note": note_of(run).replace("\n", "; "),
        "output": summary.get("output", ""),
    }


def _matches(store: Any, name: str, pattern: str) -> bool:
    if pattern in name:
        return True
    run = Run(store, name)
    with suppress(OSError):
        texts = [p.read_text(errors="backslashreplace") for p in Path(run.path).glob("*") if p.name in _SEARCHED]
        return any(pattern in text for text in texts)
    return False


_SEARCHED = ("config.yaml", "overrides.json", "note.txt")


def _read_json(path: str) -> Any:
    with suppress(OSError, ValueError):
        return json.loads(Path(path).read_text())
    return None


# -- note -------------------------------------------------------------------------------------------


def _note(argv: list[str]) -> int:
    parser = store_parser("note", "write a line about a run, or read what was written")
    parser.add_argument("run", help="name, path or part of a name; `latest`")
    parser.add_argument("text", nargs="*")
    options = parser.parse_args(argv[1:])
    run = find_run(the_store(options), options.run)
    if options.text:
        today = datetime.datetime.now().astimezone().strftime("%Y-%m-%d")
        with open(os.path.join(run.path, "note.txt"), "a", errors="surrogateescape") as file:
            file.write(f"{today} {' '.join(options.text)}\n")
    show([f"{run.name}", *(f"  {line}" for line in note_of(run).splitlines())])
    return 0


def note_of(run: Run) -> str:
    """What was noted, a line each."""
    with suppress(OSError):
        return Path(run.path, "note.txt").read_text(errors="surrogateescape").rstrip("\n")
    return ""


# -- compare ----------------------------------------------------------------------------------------


def _compare(argv: list[str]) -> int:
    parser = store_parser("compare", "two runs side by side: configuration, counts, drop reasons")
    parser.add_argument("a", help="name, path or part of a name; `latest`")
    parser.add_argument("b")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv[1:])
    store = the_store(options)
    one, two = find_run(store, options.a), find_run(store, options.b)
    found = compared(one, two)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        show(compare_lines(one.name, two.name, found))
    return 0


def compared(one: Run, two: Run) -> dict[str, Any]:
    """Everything in which two runs differ, and what they share."""
    configs = [read_yaml(Path(run.path, "config.yaml")) for run in (one, two)]
    folders = [{s.name: s.folder for s in run.frozen().pipeline.stages} for run in (one, two)]
    stages = [look(run)["stages"] for run in (one, two)]
    drops = [drop_reasons(run) for run in (one, two)]
    names = list(dict.fromkeys([*stages[0], *stages[1]]))
    return {
        "config": part_differences(*configs),
        "shared": [name for name in names if folders[0].get(name) == folders[1].get(name)],
        "counts": {name: [stages[0].get(name), stages[1].get(name)] for name in names},
        "dropped": {name: [drops[0].get(name, Counter()), drops[1].get(name, Counter())] for name in names},
    }


def compare_lines(one: str, two: str, found: dict[str, Any]) -> list[str]:
    """Configuration, then counts and reasons as `A → B`. Pure."""
    lines = [f"{one} → {two}", "", "configuration:"]
    lines += [f"  {line}" for line in found["config"]] or ["  the same"]
    keys = ("in", "out", "dropped", "failed")
    rows = [
        (name, *(_pair(pair, key) for key in keys), "shared" * (name in found["shared"]))
        for name, pair in found["counts"].items()
    ]
    lines += ["", *columns(("stage", *keys, ""), rows)]
    reasons = [
        f"  {name}: {reason}: {a.get(reason, 0)} → {b.get(reason, 0)}"
        for name, (a, b) in found["dropped"].items()
        for reason in dict.fromkeys([*a, *b])
    ]
    return lines + (["", "dropped:", *reasons] if reasons else [])


def _pair(pair: list[dict[str, Any] | None], key: str) -> str:
    a, b = ("-" if counts is None else str(counts[key]) for counts in pair)
    return a if a == b else f"{a} → {b}"
