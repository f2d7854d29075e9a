"""Whether the stages of a call are those of a run that it continues with other code. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcurate.digest import digest
from hpcurate.errors import PipelineError
from hpcurate.planning.aliases import SOURCE, KeptOf, differs_in_code_alone, is_aliased
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.commands import verb
from hpcurate.runs.explanation import part_differences

__all__ = ["check_code", "check_same", "code_differences", "differences", "edited_stages", "keeping"]


def keeping(before: Pipeline) -> KeptOf:
    """Each stage goes on in the folder that it had in this pipeline, unless more of it differs than its code."""
    had = {stage.name: stage for stage in before.stages}

    def kept(name: str, identity: Mapping[str, Any]) -> str | None:
        if identity == {SOURCE: before.source.identity}:
            return before.origin
        old = had.get(name)
        if old is None or not _is_same(old, identity):
            return None
        return old.fingerprint

    return kept


def _is_same(old: PlannedStage, identity: Mapping[str, Any]) -> bool:
    return digest(identity) == digest(old.identity) or differs_in_code_alone(old.identity, identity)


def check_same(run: str, before: Pipeline, now: Pipeline) -> None:
    """Raise PipelineError where a stage of the run is another one now: its results must not be mixed with those."""
    for difference in differences(run, before, now):
        raise PipelineError(
            f"{difference}: a retry would mix the results of both; type the run's command, which does it again"
        )


def differences(run: str, before: Pipeline, now: Pipeline) -> list[str]:
    """What of a pipeline is not as it was in the run, that of a stage above before those that follow it. Pure."""
    if now.source.folder != before.source.folder:
        return [f"source: is not that of {run} ({_changes(before.source.identity, now.source.identity)})"]
    if now.source.inputs != before.source.inputs:
        return [f"input: {run} has other ones"]
    names = [[stage.name for stage in pipeline.stages] for pipeline in (before, now)]
    if names[0] != names[1]:
        return [f"{run} has the stages {', '.join(names[0])}, not {', '.join(names[1])}"]
    return [
        f"stages.{new.name}: is not what it was in {run} ({_changes(old.identity, new.identity)})"
        for old, new in zip(before.stages, now.stages, strict=True)
        if old.folder != new.folder
    ]


def _changes(old: Any, new: Any) -> str:
    return "; ".join(part_differences(old, new))


def edited_stages(now: Pipeline, aliases: KeptOf) -> list[PlannedStage]:
    """Stages that would go on in the folder of other code, and of which the store does not say so yet."""
    return [
        stage
        for stage in now.stages
        if is_aliased(stage.identity, stage.fingerprint) and aliases(stage.name, stage.identity) != stage.fingerprint
    ]


def check_code(run: str, store: str, before: Pipeline, edited: list[PlannedStage]) -> None:
    """Raise PipelineError for stages that have results of other code, and no version that would say that they are
    the same.
    """
    if edited:
        changes = "; ".join(f"stages.{one.name}: {code_differences(before, one)}" for one in edited)
        raise PipelineError(
            f"{changes}: {run} was begun with other code, and without a `version` that counts as another stage. "
            f"`{verb('retry', run, store, '--keep-done')}` keeps what succeeded and tries only what failed; "
            "the run's command does these stages again"
        )


def code_differences(before: Pipeline, stage: PlannedStage) -> str:
    """Which code of a stage differs from that of before."""
    old = before.stage(stage.name).identity
    return "; ".join(line for line in part_differences(old, stage.identity) if "code: " in line)
