"""Why each stage runs or does not, and which part of it differs from the nearest folder in the store. Only reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.reconcile import StageView
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store

__all__ = ["Explanation", "explain", "part_differences"]


@attrs.define(frozen=True, kw_only=True)
class Explanation:
    """Why one stage runs, or does not."""

    stage: str
    folder: str
    reason: str
    differences: tuple[str, ...] = ()
    """Parts that differ from the nearest folder of the same name: `parameters.crf: 23 → 21`."""


def explain(store: Store, pipeline: Pipeline, views: Sequence[StageView]) -> list[Explanation]:
    """For each stage why it runs or not, and which parts differ from the nearest folder."""
    known = {name: parts for name in POSIX.names(store.stages) if (parts := _parts(store, name))}
    new = {stage.name for stage in pipeline.stages if stage.folder not in known}
    return [_explain(stage, view, known, new) for stage, view in zip(pipeline.stages, views, strict=True)]


def _parts(store: Store, folder: str) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, KeyError):
        parts: dict[str, Any] = json.loads(POSIX.read(store.stage(folder).stage_json))["parts"]
        return parts
    return None


def _explain(stage: PlannedStage, view: StageView, known: dict[str, dict[str, Any]], new: set[str]) -> Explanation:
    if stage.folder in known:
        return Explanation(stage=stage.name, folder=stage.folder, reason=_standing(view))
    others = {name: parts for name, parts in known.items() if name.rpartition("-")[0] == stage.name}
    if not others:
        return Explanation(stage=stage.name, folder=stage.folder, reason="runs: the store has no such stage yet")
    nearest, differences = min(
        ((name, part_differences(parts, stage.identity)) for name, parts in others.items()),
        key=lambda one: (len(one[1]), one[0]),
    )
    if all(line.startswith("upstream") for line in differences):
        above = [name for name in stage.after if name in new] or ["the source"]
        return Explanation(stage=stage.name, folder=stage.folder, reason=f"runs: {', '.join(above)} before it changed")
    own = tuple(line for line in differences if not line.startswith("upstream"))
    reason = f"runs: differs from {nearest} in {len(own)} part{'s' * (len(own) != 1)}"
    return Explanation(stage=stage.name, folder=stage.folder, reason=reason, differences=own)


def _standing(view: StageView) -> str:
    counts = view.counts
    if view.complete:
        return f"nothing to do: all {counts.shards} shards are committed"
    if not view.ready:
        return "waits: what it reads is not complete"
    if not view.listed:
        return "runs: its input has grown"
    return f"runs: {counts.shards_done} of {counts.shards} shards are committed"


def part_differences(old: Any, new: Any) -> list[str]:
    """Leaf by leaf, `key: old → new`. Pure."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    keys = dict.fromkeys([*after, *before])
    return [f"{key}: {_shown(before, key)} → {_shown(after, key)}" for key in keys if before.get(key) != after.get(key)]


def _leaves(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Leaves with dotted paths; the wrapping `stage` is left out: it adds nothing."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, path if key == "stage" and not path else f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            name = str(inner.get("class", number)).rpartition(":")[2] if isinstance(inner, dict) else str(number)
            yield from _leaves(inner, f"{path}.{name}".lstrip("."))
    else:
        yield path, value


def _shown(leaves: dict[str, Any], key: str) -> str:
    return json.dumps(leaves[key], ensure_ascii=True) if key in leaves else "default"
