"""Where a file comes from: the run, its configuration, code, models, environment and input."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.run_view import RunView
from hpcurate.report.story import Story
from hpcurate.runs.commands import Command, again


@attrs.define(frozen=True, kw_only=True)
class StageOrigin:
    """What a stage was, that a file went through."""

    stage: str
    folder: str
    """`<name>-<first 12 digits of its fingerprint>`: class, version or code, parameters, models, and all that above."""
    classes: tuple[str, ...]
    """`module:Class vN`, or with the digest of its code; several in a chain."""
    parameters: dict[str, Any]
    """As given, those of a chain by member."""
    models: tuple[str, ...]
    """`repo@revision`."""
    environment: str


@attrs.define(frozen=True, kw_only=True)
class Origin:
    """An item of the input that a file was made of."""

    id: str
    path: str
    size: int | None
    mtime_ns: int | None
    """As it was taken in."""
    changed: bool
    """Whether it is another file by now, or gone."""


@attrs.define(frozen=True, kw_only=True)
class Provenance:
    """Where a file comes from."""

    file: str
    run: str
    store: str
    pipeline: str
    command: str
    """That made it, as it is typed again."""
    by: str
    """Who typed it, where and when; empty where an earlier hpcurate did not write that down."""
    checkout: str
    """What git called the code in the folder where it was typed; empty where that was no checkout."""
    config: str
    """File with the resolved configuration."""
    code: str
    """Frozen copy of the code, named by its content."""
    hpcurate: str
    """Version of hpcurate in it."""
    packages: dict[str, str]
    """Versions of what the stages import."""
    stages: tuple[StageOrigin, ...]
    input: tuple[Origin, ...]


def provenance_of(view: RunView, stories: Iterable[Story], path: str) -> Provenance:
    """Of a file that these stories led to; with every stage where none did."""
    stories = tuple(stories)
    gone_through = {step.stage for root in stories for story in root.stories() for step in story.steps}
    run, frozen = view.run, view.frozen
    return Provenance(
        file=path,
        run=run.name,
        store=run.store.root,
        pipeline=frozen.pipeline.name,
        command=again(frozen.command, run.store.root),
        by=_by(frozen.command),
        checkout=frozen.command.checkout,
        config=os.path.join(run.path, "config.yaml"),
        code=frozen.code,
        hpcurate=_version_in(frozen.code),
        packages=frozen.versions,
        stages=tuple(_stage(one) for one in view.planned if not gone_through or one.name in gone_through),
        input=tuple(_origin(story) for story in stories),
    )


def _stage(stage: PlannedStage) -> StageOrigin:
    own = stage.identity.get("stage", {})
    members = own.get("chain", [own])
    return StageOrigin(
        stage=stage.name,
        folder=stage.folder,
        classes=tuple(f"{one.get('class', '?')} {one.get('version', '')}".strip() for one in members),
        parameters=_parameters(members),
        models=tuple(one.identity for one in stage.weights),
        environment=str(stage.env),
    )


def _parameters(members: list[dict[str, Any]]) -> dict[str, Any]:
    if len(members) == 1:
        return dict(members[0].get("parameters", {}))
    return {one["class"].rpartition(":")[2]: one["parameters"] for one in members if one.get("parameters")}


def _origin(story: Story) -> Origin:
    task = story.first
    size, mtime = task.get("size"), task.get("mtime_ns")
    return Origin(
        id=story.id, path=str(task.get("path") or story.name), size=size, mtime_ns=mtime, changed=_is_changed(task)
    )


def _is_changed(task: dict[str, Any]) -> bool:
    if not task.get("path") or task.get("mtime_ns") is None:
        return False
    try:
        now = os.stat(task["path"])
    except OSError:
        return True
    return (now.st_size, now.st_mtime_ns) != (task.get("size"), task["mtime_ns"])


def _by(command: Command) -> str:
    where = f"{command.user}@{command.host}" if command.user else ""
    return f"{where} {command.at}".strip()


def _version_in(code: str) -> str:
    with suppress(OSError):
        found = re.search(r'^__version__ = "(.+)"', Path(code, "hpcurate", "__init__.py").read_text(), re.MULTILINE)
        return found[1] if found else ""
    return ""
