"""`hpcurate envs check`: start each stage's process in its environment, here or in a job, and have it import."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import msgspec

from hpcurate.cli.start.launch import read_request
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.store_choice import find_store
from hpcurate.cli.terminal import say, show, table
from hpcurate.environments.binds import parse_binds
from hpcurate.environments.files import env_folders
from hpcurate.environments.resolve import Environments
from hpcurate.errors import ConfigError, LauncherError
from hpcurate.planning.pipeline import Environment, PlannedStage
from hpcurate.planning.plan import Plan
from hpcurate.planning.relations import Slices
from hpcurate.runs.code import freeze_code
from hpcurate.runs.folder import open_store
from hpcurate.runs.launcher import EnvironmentChecks, Launcher, Queue
from hpcurate.runs.prepare import prepare
from hpcurate.site_files import site_profile
from hpcurate.spec import StageSpec
from hpcurate.store.rounds import Jobs
from hpcurate.system.programs import output_tail

WAIT_S = 600.0
"""How long the jobs may take."""
NO_STAGE = "-"


@attrs.define(frozen=True)
class _Part:
    """What is checked by one process."""

    name: str
    env: str
    """As the user wrote it."""
    plan: Plan


@attrs.define(frozen=True)
class _Asked:
    """What is to be checked."""

    root: str
    """Of the store."""
    parts: list[_Part]
    launcher: Launcher | None = None
    """Of the run; None where environments are named."""
    modules: tuple[str, ...] = ()
    """Of the user's code."""


def check(words: list[str], store: str | None, *, on_node: bool) -> int:
    """Check environments by name, or each stage of the run that the words describe. Exit status 1 if one fails."""
    is_run = any(word.startswith("+") for word in words)
    asked = _of_run(words, store) if is_run else _of_names(words, store)
    if on_node and not (asked.launcher and asked.launcher.checks):
        raise ConfigError("envs check --on-node: name the stages (+pipeline=… input=…), and launcher=slurm")
    folder = os.path.join(asked.root, f".check-{secrets.token_hex(4)}")
    os.mkdir(folder, mode=0o700)
    try:
        answers = _answers(asked, folder, on_node)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [_row(part, answer) for part, answer in zip(asked.parts, answers)]
    show(table(("stage", "env", "node", "python", "prefix", "state"), rows))
    return 0 if all(answer["ok"] for answer in answers) else 1


def _answers(asked: _Asked, folder: str, on_node: bool) -> list[dict[str, Any]]:
    """Of each part. All that is written lies below `folder`."""
    code = freeze_code(list(asked.modules), folder)
    parts = [attrs.evolve(part, plan=msgspec.structs.replace(part.plan, code=code)) for part in asked.parts]
    for part in parts:
        os.mkdir(os.path.join(folder, part.name))
        part.plan.save(os.path.join(folder, part.name))
    jobs: dict[str, str] = {}
    if on_node and asked.launcher and asked.launcher.checks:
        jobs = _in_jobs(parts, folder, asked.launcher.checks, asked.launcher.queue)
    else:
        _here(parts, folder, code)
    return [_answer(Path(folder, part.name), jobs.get(part.name)) for part in parts]


def _of_names(words: list[str], store: str | None) -> _Asked:
    root = open_store(find_store(store)).root
    environments = Environments(root, env_folders(), parse_binds(site_profile()[1].binds))
    parts = []
    for number, word in enumerate(words):
        try:
            env = environments(word, False)
        except ConfigError as error:
            raise ConfigError(f"envs check: {error}") from None
        parts.append(_Part(f"env{number}", word, _plan(_no_stage(env), root)))
    environments.provide(say)
    return _Asked(root, parts)


def _of_run(words: list[str], store: str | None) -> _Asked:
    words = [*words, f"store={store}"] if store else words
    request, _ = read_request(sort_arguments(words))
    prepared = prepare(request)
    launcher = prepared.launcher
    root = open_store(request.store).root
    request.environments.provide(say)
    parts = []
    for stage in prepared.draft.stages:
        plan = _plan(msgspec.structs.replace(stage, weights=()), root)  # they are not read, so none need lie there
        plan = msgspec.structs.replace(plan, node_local=launcher.node_local, node_quota=launcher.node_quota)
        parts.append(_Part(stage.name, str(stage.env), plan))
    return _Asked(root, parts, launcher, prepared.stage_modules)


def _no_stage(env: Environment) -> PlannedStage:
    """Where only an environment is named: a stage that imports what hpcurate itself needs there."""
    spec = StageSpec("hpcurate.stage:Stage")
    return PlannedStage(
        name=NO_STAGE, folder="", fingerprint="", identity={}, spec=spec, after=(), relation=Slices(), env=env
    )


def _plan(stage: PlannedStage, store: str) -> Plan:
    return Plan(stage=stage, run="", store=store, lists=(), round=1, workers=1)


def _here(parts: list[_Part], folder: str, code: str) -> None:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in (code, os.environ.get("PYTHONPATH")) if p))
    for part in parts:
        command = [sys.executable, "-P", "-m", "hpcurate.worker.check", folder, part.name]
        subprocess.run(command, env=environment, stdout=sys.stderr, check=False)


def _in_jobs(parts: list[_Part], folder: str, checks: EnvironmentChecks, queue: Queue) -> dict[str, str]:
    """Part → its job, once all have ended. Raises LauncherError if they do not."""
    jobs = {part.name: checks.submit(part.plan, folder, part.name) for part in parts}
    ids = tuple(jobs.values())
    say(f"jobs: {' '.join(ids)}")
    deadline = time.monotonic() + WAIT_S
    while not queue.presence(ids).over:
        if time.monotonic() > deadline:
            queue.cancel(Jobs(ids=ids))
            raise LauncherError(f"envs check: the jobs have not ended after {WAIT_S:.0f} s and were cancelled")
        time.sleep(1)
    time.sleep(1)  # a shared file system may show their files a moment later
    return jobs


def _answer(folder: Path, job: str | None) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text())
        return answer
    except (OSError, ValueError):
        logs = sorted(folder.glob("*.out"))
        tail = output_tail(logs[-1].read_text(errors="replace")) if logs else ""
        return {"ok": False, "error": f"no answer{f' from job {job}' if job else ''}: {tail or 'no output'}"}


def _row(part: _Part, answer: dict[str, Any]) -> tuple[str, ...]:
    found = answer.get("environment", {})
    state = "fine" if answer["ok"] else answer["error"]
    if found and not answer["ok"]:  # it started, and lacks something
        state += f"; {_advice(part)}"
    where = (answer.get("node", "-"), found.get("python", "-"), found.get("prefix", "-"))
    return (part.plan.stage.name, part.env, *where, state)


def _advice(part: _Part) -> str:
    other = part.plan.stage.env.python
    return "add it to the environment" if other else "pip install it here, or give the stage an env"
