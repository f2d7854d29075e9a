"""Secrets get into no file of the store: typed ones are refused, and those of the environment are masked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from shell import Shell

import hpcurate
from hpcurate import StageOptions, Step
from hpcurate.cli.start.compose import Composed, compose, frozen_config
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.errors import ConfigError
from hpcurate.masks import mask
from hpcurate.spec import from_spec, to_spec
from stages.hello import HelloTask, LowerCase

TOKEN = "hf_0123456789abcdef"
STAGE = '''"""A stage that tells everything."""
import os
import subprocess

from hpcurate import Stage
from stages.hello import HelloTask


class Leaky(Stage[HelloTask, HelloTask]):
    """Prints its secrets, and raises with them."""

    batch_size = 1

    def __init__(self, hf_token: str, where: str = "process") -> None:
        self.hf_token, self.where = hf_token, where

    def setup(self, worker) -> None:
        print("setup", self.hf_token, dict(os.environ))
        if self.where == "setup":
            raise ValueError(f"setup refused {self.hf_token}")

    def process(self, tasks):
        print("process", self.hf_token, flush=True)
        subprocess.run(["sh", "-c", "echo child $MINE; printenv MINE >&2"], check=True)
        tasks[0].prompt = self.hf_token
        raise ValueError(f"process refused {self.hf_token}")
'''


def composed(*words: str) -> Composed:
    """The configuration that the words mean."""
    typed = sort_arguments(words)
    return compose(typed.overrides, typed.paths, ())


def texts(folder: Path) -> dict[str, str]:
    """Every file below, but what `File` rows could be."""
    return {str(p): p.read_text(errors="replace") for p in folder.rglob("*") if p.is_file()}


def test_no_file_has_the_value(shell: Shell) -> None:
    """It is in the environment, a stage gets it, prints it and raises with it, in `setup` and in `process`.

    Configuration, plans, logs, dead letters, reports and what verbs print have its name. Before, logs and dead letters
    had the value.
    """
    (shell.cwd / "leaky.py").write_text(STAGE)
    shell.extra["MINE"] = TOKEN
    words = ["+pipeline=words", "places=[lower_case,process,setup]", "~stages.show", "~stages.word_count"]
    for where in ("process", "setup"):
        words += [f"+stages.{where}._target_=leaky.Leaky", f"+stages.{where}.where={where}"]
        words += [f"stages.{where}.hf_token=${{oc.env:MINE}}", f"+stages.{where}.after=[lower_case]"]
    done = shell.run(*words, status=1)
    printed = done.stdout + done.stderr
    for verb in (["logs", "--failed"], ["why", "--json"]):
        printed += shell.type(*verb, "--store", str(shell.store)).stdout
    found = texts(shell.store)
    assert [] == [name for name, text in {**found, "": printed}.items() if TOKEN in text]
    logs = "".join(text for name, text in found.items() if name.endswith(".log"))
    assert "setup ***MINE*** {" in logs
    assert "process ***MINE***\nchild ***MINE***\n***MINE***\n" in logs
    assert "process refused ***MINE***" in printed
    assert any("setup refused ***MINE***" in text for name, text in found.items() if name.endswith(".json"))
    letters = "".join(text for name, text in found.items() if name.endswith("failed.jsonl"))
    assert {"***MINE***"} == {json.loads(line)["message"].split()[-1] for line in letters.splitlines()}


REFUSED = [
    (["stages.lower_case.hf_token=hf_abc"], "stages.lower_case.hf_token: is a secret"),
    (["stages.lower_case.hf_token=hf_abc", "~stages.lower_case.hf_token"], "stages.lower_case.hf_token: is a secret"),
    (["stages.lower_case.x={a: [{password: hunter2}]}"], "stages.lower_case.x.a[0].password: is a secret"),
    (["stages.lower_case.hf_token=${oc.env:HOME,hf_abc}"], "stages.lower_case.hf_token: is a secret"),
    (["stages.lower_case.hf_token=${name}"], "stages.lower_case.hf_token: is a secret"),
    (["source.api_key=abc"], "source.api_key: is a secret"),
    (["launcher.setup=['export HF_TOKEN=abc']"], "launcher.setup[0]: HF_TOKEN is a secret"),
    (["launcher.sbatch.export='ALL,HF_TOKEN=abc'"], "launcher.sbatch.export: HF_TOKEN is a secret"),
    (["models.gpt2.url=https://h/w?token=abc"], "models.gpt2.url: TOKEN is a secret"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_a_typed_secret_is_refused(words: list[str], message: str) -> None:
    """With its full key and what to type, before anything is written; `--cfg` and `dry_run` come here, too."""
    with pytest.raises(ConfigError) as refused:
        composed("+pipeline=words", *words).draft()
    assert str(refused.value).startswith(message)
    assert not any(value in str(refused.value) for value in ("hf_abc", "hunter2", "=abc"))


def test_the_key_of_a_secret_keeps_any_variable_symbolic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever that is called. Before, only variables that look like a secret stayed."""
    monkeypatch.setenv("MINE", "abc")
    monkeypatch.setenv("MY_TOKEN", "abcdefgh")
    words = ["stages.lower_case.hf_token=${oc.env:MINE}", "stages.lower_case.api_keys=['${oc.env:MINE}']"]
    words += ["stages.lower_case.sbatch.comment=${oc.env:MY_TOKEN}"]
    stage = composed("+pipeline=words", *words, "stages.lower_case.x=${oc.env:MINE}").draft()["stages"]["lower_case"]
    assert {"comment": "${oc.env:MY_TOKEN}"} == stage["sbatch"]
    assert ("${oc.env:MINE}", ["${oc.env:MINE}"], "abc") == (stage["hf_token"], stage["api_keys"], stage["x"])


@pytest.mark.parametrize("name", ["CAPTION_API_KEY", "CAPTION_URL"])
def test_a_variable_that_is_not_set_is_refused_before_anything_starts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry was submitted without it, and stalled when setup had failed on two nodes; a run was refused in Hydra's
    words.
    """
    monkeypatch.delenv(name, raising=False)
    again = frozen_config(f"stages: {{caption: {{key: '${{oc.env:{name}}}'}}}}", {})
    said = f"stages.caption.key: the environment variable {name} is not set; export it where you type hpcurate"
    with pytest.raises(ConfigError, match=re.escape(said)):
        again.with_output("x")
    monkeypatch.setenv(name, "its-own-value")
    assert again.with_output("x")["stages"]["caption"]["key"] in (f"${{oc.env:{name}}}", "its-own-value")


def test_a_refused_secret_leaves_nothing(shell: Shell) -> None:
    """One line, exit status 2, no store."""
    told = shell.run("+pipeline=words", "stages.lower_case.hf_token=hf_abc", status=2).stderr
    assert told.endswith("and type stages.lower_case.hf_token='${oc.env:HF_TOKEN}'\n")
    assert not shell.store.exists()


class Asks(LowerCase):
    """A stage with a secret."""

    def __init__(self, api_key: str = "", prefixes: dict[str, str] | None = None) -> None:
        self.api_key, self.prefixes = api_key, prefixes


@pytest.mark.parametrize(
    ("step", "key"),
    [
        (Asks(api_key="abc"), "stages.asks.api_key"),
        (Asks(prefixes={"password": "abc"}), "stages.asks.prefixes.password"),
        (hpcurate.Chain([LowerCase(), Asks(api_key="abc")]), "stages.asks.Asks.api_key"),
        (Step(Asks(), StageOptions(sbatch={"export": "HF_TOKEN=abc"})), "stages.asks.sbatch.export"),
    ],
)
def test_python_is_no_way_around(tmp_path: Path, step: object, key: str) -> None:
    """The same from `hpcurate.run`, at any depth."""
    with pytest.raises(ConfigError) as refused:
        hpcurate.run({"asks": step}, [HelloTask(id="a", prompt="b")], store=tmp_path / "store", launcher="inline")  # type: ignore[dict-item]
    assert str(refused.value).startswith(f"{key}: ")
    assert not (tmp_path / "store").exists()


def test_a_secret_of_a_stage_is_read_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`${oc.env:NAME}` is text in its description; its process has the value, and masks it from then on."""
    monkeypatch.setenv("MINE", TOKEN)
    described = to_spec(Asks(api_key="${oc.env:MINE}", prefixes={"a": "${oc.env:MINE}"}))
    assert TOKEN not in str(described)
    made = from_spec(described, secrets=True)
    assert (TOKEN, TOKEN) == (made.api_key, made.prefixes["a"])  # type: ignore[attr-defined]
    assert "***MINE***" == mask(TOKEN)
