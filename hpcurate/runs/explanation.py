"""Why each stage runs or does not, and which part of it differs from the nearest folder in the store. Only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from hpcurate.planning.aliases import COMMAND, is_aliased
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.results import RESULT, is_result
from hpcurate.runs.reconcile import StageView
from hpcurate.spec import STAGE
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store
from hpcurate.units import plural

__all__ = ["NOTHING", "Explanation", "code_changes", "explain", "near_folders", "part_differences"]

NOTHING = "nothing to do: "
"""Begins the reason of a stage whose shards are all committed."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why one stage runs, or does not."""

    stage: str
    folder: str
    reason: str
    differences: tuple[str, ...] = ()
    """Parts that differ from the nearest folder of the same name: `parameters.crf: 23 → 21`; where the stage
    continues, its code if that is another than what it was begun with."""
    results: tuple[str, ...] = ()
    """Parameters that are results of other stages: `threshold = 0.31 (measure.p10)`, or that it is not known yet."""


def explain(store: Store, pipeline: Pipeline, views: Sequence[StageView]) -> list[Explanation]:
    """For each stage why it runs or not, and which parts differ from the nearest folder."""
    known = _known(store, pipeline)
    new = {stage.name for stage in pipeline.stages if stage.folder not in known}
    found = [_explain(stage, view, known, new) for stage, view in zip(pipeline.stages, views, strict=True)]
    return [
        msgspec.structs.replace(
            one,
            differences=(*one.differences, *_left_behind(store, stage, known)),
            results=tuple(_result_lines(stage, view)),
        )
        for one, stage, view in zip(found, pipeline.stages, views, strict=True)
    ]


def _result_lines(stage: PlannedStage, view: StageView) -> Iterable[str]:
    """Which results of other stages its parameters are. Pure."""
    for one in stage.results:
        parameter = one.key.removeprefix(f"stages.{stage.name}.")
        if one.result in view.results:
            yield f"{parameter} = {json.dumps(view.results[one.result])} ({one.stage}.{one.field})"
        else:
            meanwhile = f", {one.default} is only its default" if one.default is not None else ""
            yield f"{parameter} = {one.result}: not known yet{meanwhile}"


def code_changes(store: Store, pipeline: Pipeline) -> list[str]:
    """A line for each stage that runs again because of its code, or continues in spite of it, or does not go on from
    checkpoints of another version. Only reads.
    """
    known = _known(store, pipeline)
    lines = []
    for stage in pipeline.stages:
        if stage.folder in known:
            lines += [f"{stage.name}: {line}" for line in _kept_in_spite(stage, known[stage.folder])]
        elif nearest := _nearest(stage, known):
            own = _own(nearest[1])
            if own and all("code: " in line or STAGE in line for line in own):
                lines.append(f"{stage.name}: runs again, it differs from {nearest[0]}: {'; '.join(own)}")
        lines += [f"{stage.name}: {line}" for line in _left_behind(store, stage, known)]
    return lines


def near_folders(store: Store, pipeline: Pipeline) -> dict[str, list[str]]:
    """Stage → folders of the same class, its own first, then those with the fewest differences. Only reads."""
    known = _known(store, pipeline)
    return {stage.name: _near(stage, known) for stage in pipeline.stages}


def _near(stage: PlannedStage, known: dict[str, dict[str, Any]]) -> list[str]:
    others = [name for name in known if name.rpartition("-")[0] == stage.name and name != stage.folder]
    found = [(part_differences(known[name]["parts"], stage.identity), name) for name in others]
    same = [(len(lines), name) for lines, name in found if not any(_CLASS.match(line) for line in lines)]
    return [stage.folder] * (stage.folder in known) + [name for _, name in sorted(same)]


_CLASS = re.compile(r"(\S+\.)?class: ")


def _known(store: Store, pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """Folder → its `stage.json`, of every folder of a stage of that name."""
    wanted = {stage.name for stage in pipeline.stages}
    folders = [name for name in POSIX.names(store.stages) if name.rpartition("-")[0] in wanted]
    return {name: plain for name in folders if (plain := _stage_json(store, name))}


def _stage_json(store: Store, folder: str) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, KeyError):
        plain: dict[str, Any] = json.loads(POSIX.read(store.stage(folder).stage_json))
        return plain if isinstance(plain["parts"], dict) else None
    return None


def _explain(stage: PlannedStage, view: StageView, known: dict[str, dict[str, Any]], new: set[str]) -> Explanation:
    if stage.folder in known:
        kept = tuple(_kept_in_spite(stage, known[stage.folder]))
        return Explanation(stage=stage.name, folder=stage.folder, reason=_standing(view), differences=kept)
    nearest = _nearest(stage, known)
    if nearest is None:
        return Explanation(stage=stage.name, folder=stage.folder, reason="runs: the store has no such stage yet")
    folder, differences = nearest
    own = tuple(_own(differences))
    if not own:
        read = dict.fromkeys((*stage.after, *(one.stage for one in stage.results)))
        above = [name for name in read if name in new] or ["the source"]
        return Explanation(stage=stage.name, folder=stage.folder, reason=f"runs: {', '.join(above)} before it changed")
    reason = f"runs: differs from {folder} in {len(own)} part{'s' * (len(own) != 1)}"
    return Explanation(stage=stage.name, folder=stage.folder, reason=reason, differences=own)


def _left_behind(store: Store, stage: PlannedStage, known: dict[str, dict[str, Any]]) -> list[str]:
    """Checkpoints that a stage goes on from, or those of another version, which a new one begins without."""
    nearest = _nearest(stage, known) if stage.checkpoints and stage.folder not in known else None
    if nearest is None:
        count = _checkpoints(store, stage.folder) if stage.checkpoints else 0
        return [f"checkpoints: of {plural(count, 'shard')}, to go on from"] if count else []
    count = _checkpoints(store, nearest[0])
    what = "checkpoints: begins from the start; those of"
    return [f"{what} {plural(count, 'shard')} in {nearest[0]} are of another version, and stay there"] if count else []


def _checkpoints(store: Store, name: str) -> int:
    """How many shards of a stage have some."""
    folder = store.stage(name)
    fans = POSIX.names(f"{folder.path}/checkpoints")
    return sum(len(POSIX.names(folder.checkpoints(fan))) for fan in fans)


def _nearest(stage: PlannedStage, known: dict[str, dict[str, Any]]) -> tuple[str, list[str]] | None:
    """The folder of that stage with the fewest differences, and these."""
    others = [name for name in known if name.rpartition("-")[0] == stage.name]
    found = [(name, part_differences(known[name]["parts"], stage.identity)) for name in others]
    return min(found, key=lambda one: (len(one[1]), one[0]), default=None)


def _own(differences: Iterable[str]) -> list[str]:
    return [line for line in differences if not line.startswith("upstream")]


def _kept_in_spite(stage: PlannedStage, plain: dict[str, Any]) -> list[str]:
    """Its version is what it was, its code is not: what was committed stays, with this notice. Pure."""
    if is_aliased(stage.identity, stage.fingerprint):
        code = "; ".join(one for one in part_differences(plain["parts"], stage.identity) if "code: " in one)
        if not code:  # it came from another store, where its paths were others
            return []
        kept = "what other code has committed stays (`hpcurate retry --keep-done`)"
        kept += ", and its checkpoints are gone on from" * stage.checkpoints
        return [f"{code}; {kept}: rerun={stage.name} does it again"]
    before = plain.get("code")
    if not before or not stage.code or before == stage.code:  # a store of before has none: nothing is known
        return []
    changes = "; ".join(part_differences({"class": "", "code": before}, {"class": "", "code": stage.code}))
    stays = "its version is the same, so what is committed stays"
    return [f"{changes}; {stays}: raise `version`, or type rerun={stage.name}, if the output changes meaning"]


def _standing(view: StageView) -> str:
    counts = view.counts
    if view.complete:
        return f"{NOTHING}all committed ({plural(counts.shards or 0, 'shard')})"
    if view.refused:
        return f"stalled: {view.refused.reason}"
    if not view.ready:
        return "waits: what it reads is not complete"
    if not view.listed:
        return "runs: its input has grown" if view.rounds else "runs: nothing of it is done yet"
    return f"runs: {counts.shards_done} of {plural(counts.shards or 0, 'shard')} committed"


def part_differences(old: Any, new: Any) -> list[str]:
    """Leaf by leaf, `key: old → new`; of code, which file differs. Pure."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    keys = dict.fromkeys([*after, *before])
    return [_difference(key, before, after) for key in keys if before.get(key) != after.get(key)]


def _difference(key: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    if key.rpartition("code: ")[1]:
        how = "is now part of it" if key not in before else "is no longer part of it" if key not in after else "differs"
        return f"{key} {how}"
    if all(str(side.get(key, "")).startswith("syntax:") for side in (before, after)):
        return f"{key.removesuffix('version')}code: its own module differs"
    return f"{key}: {_shown(before, key)} → {_shown(after, key)}"


def _leaves(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Leaves with dotted paths; the wrapping `stage` is left out: it adds nothing."""
    if is_result(value):
        yield f"upstream.{path}", value[RESULT][0]
        yield path, f"result {value[RESULT][1]}"
    elif isinstance(value, dict):
        for key, inner in _as_code(value).items():
            if key == "code" and "class" in value:
                yield from ((f"{path}.code: {file}".lstrip("."), digest) for file, digest in inner.items())
            else:
                yield from _leaves(inner, path if key == "stage" and not path else f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            name = str(inner.get("class", number)).rpartition(":")[2] if isinstance(inner, dict) else str(number)
            yield from _leaves(inner, f"{path}.{name}".lstrip("."))
    else:
        yield path, value


def _as_code(value: dict[str, Any]) -> dict[str, Any]:
    """With the scripts of a program as what they are to it. Pure."""
    if value.get("class") != COMMAND or "files" not in value["parameters"]:
        return value
    parameters = dict(value["parameters"])
    scripts = {name: file["sha256"] for name, file in parameters.pop("files").items()}
    return {**value, "parameters": parameters, "code": {**value.get("code", {}), **scripts}}


def _shown(leaves: dict[str, Any], key: str) -> str:
    return json.dumps(leaves[key], ensure_ascii=True) if key in leaves else "default"
