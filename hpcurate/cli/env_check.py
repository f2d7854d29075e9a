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

from hpcurate.api import Request
from hpcurate.cli.start.compose import compose
from hpcurate.cli.start.launch import request_of, say
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.start.settings import read_settings
from hpcurate.cli.store_choice import find_store
from hpcurate.cli.verbs.explain import table
from hpcurate.environments.files import env_folders
from hpcurate.environments.resolve import Environments
from hpcurate.errors import ConfigError, LauncherError
from hpcurate.planning.pipeline import Environment, PlannedStage
from hpcurate.planning.plan import Plan
from hpcurate.runs.code import freeze_code
from hpcurate.runs.folder import UNNAMED, open_store
from hpcurate.runs.launcher import Launcher, make_launcher
from hpcurate.spec import StageSpec
from hpcurate.system.programs import output_tail

WAIT_S = 600.0
"""How long the jobs may take."""
NOTHING = StageSpec("hpcurate.stage:Stage")
"""Stands for a stage where only an environment is named: it imports what hpcurate itself needs there."""


@attrs.define
class _Part:
    """What is checked by one process."""

    name: str
    env: str
    """As the user knows it."""
    plan: Plan
    stage: PlannedStage | None = None
    job: str = ""


def check(words: list[str], store: str | None, *, on_node: bool) -> int:
    """Check environments by name, or each stage of the run that the words describe. Exit status 1 if one fails."""
    is_run = any(word.startswith("+") for word in words)
    root, parts, launcher, modules = _of_run(words, store) if is_run else _of_names(words, store)
    if on_node and (launcher is None or launcher.kind != "slurm"):
        raise ConfigError("envs check --on-node: name the stages (+pipeline=… input=…), and launcher=slurm")
    folder = os.path.join(root, f".check-{secrets.token_hex(4)}")
    os.mkdir(folder, mode=0o700)
    try:
        code = freeze_code(modules, folder)
        for part in parts:
            part.plan = attrs.evolve(part.plan, store=root, code=code)
            os.mkdir(os.path.join(folder, part.name))
            part.plan.save(os.path.join(folder, part.name))
        if on_node:
            _in_jobs(parts, folder, launcher)
        else:
            _here(parts, folder, code)
        answers = [_answer(part, folder) for part in parts]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [_row(part, answer) for part, answer in zip(parts, answers)]
    print("\n".join(table(("stage", "env", "node", "python", "prefix", "state"), rows)))
    return 0 if all(answer["ok"] for answer in answers) else 1


def _of_names(words: list[str], store: str | None) -> tuple[str, list[_Part], None, list[str]]:
    root = open_store(find_store(store)).root
    environments = Environments(root, env_folders())
    parts = []
    for number, word in enumerate(words):
        try:
            env = environments(word, False)
        except ConfigError as error:
            raise ConfigError(f"envs check: {error}") from None
        plan = Plan(run="", stage="-", folder="", store=root, spec=NOTHING, lists=(), round=1, workers=1, env=env)
        parts.append(_Part(f"env{number}", word, plan))
    environments.provide(say)
    return root, parts, None, []


def _of_run(words: list[str], store: str | None) -> tuple[str, list[_Part], Launcher, list[str]]:
    words = [*words, f"store={store}"] if store else words
    typed = sort_arguments(words)
    plain = compose(typed.overrides, typed.paths, typed.config_dirs)
    request: Request = request_of(read_settings(plain), plain, typed)
    pipeline = request.pipeline(request.output or UNNAMED)
    launcher = make_launcher(request.launcher)
    root = open_store(request.store).root
    request.provide(say)
    parts = []
    for stage in pipeline.stages:
        plan = attrs.evolve(
            plan_needs(stage), env=stage.env, weights=(), node_local=launcher.node_local, node_quota=launcher.node_quota
        )
        parts.append(_Part(stage.name, _known_as(stage.env), plan, stage))
    return root, parts, launcher, list(request.modules)


def _known_as(env: Environment) -> str:
    if env.container:
        return " ".join(env.python)
    return env.digest or "the current one"


def _here(parts: list[_Part], folder: str, code: str) -> None:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in (code, os.environ.get("PYTHONPATH")) if p))
    for part in parts:
        command = [sys.executable, "-P", "-m", "hpcurate.worker.check", folder, part.name]
        subprocess.run(command, env=environment, stdout=sys.stderr, check=False)


def _in_jobs(parts: list[_Part], folder: str, launcher: Any) -> None:
    for part in parts:
        part.job = launcher.submit_check(part.stage, part.plan, folder, part.name)
    say(f"jobs: {' '.join(part.job for part in parts)}")
    deadline = time.monotonic() + WAIT_S
    waiting = [part.job for part in parts]
    while launcher.alive(waiting) is not False:
        if time.monotonic() > deadline:
            launcher.cancel(waiting)
            raise LauncherError(f"envs check: the jobs have not ended after {WAIT_S:.0f} s and were cancelled")
        time.sleep(1)
    time.sleep(1)  # a shared file system may show their files a moment later


def _answer(part: _Part, folder: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(Path(folder, part.name, "answer.json").read_text())
        return answer
    except (OSError, ValueError):
        logs = sorted(Path(folder, part.name).glob("*.out"))
        tail = output_tail(logs[-1].read_text(errors="replace")) if logs else ""
        return {"ok": False, "error": f"no answer{f' from job {part.job}' * bool(part.job)}: {tail or 'nothing said'}"}


def _row(part: _Part, answer: dict[str, Any]) -> tuple[str, ...]:
    told = answer.get("environment", {})
    stage = part.plan.stage if part.stage else "-"
    state = "fine" if answer["ok"] else answer["error"]
    if told and not answer["ok"]:  # it started, and lacks something
        state += f"; {_advice(part)}"
    return (stage, part.env, answer.get("node", "-"), told.get("python", "-"), told.get("prefix", "-"), state)


def _advice(part: _Part) -> str:
    return "add it to the environment" if part.plan.env.python else "pip install it here, or give the stage an env"


__all__ = ["check"]
