"""A run that a form has submitted: jobs inherit the secret that was chosen by name, and nobody needs the page."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from form_server import OTHER, SECRET, form_server, write_project
from shell import Shell
from slurm_fixture import SlurmSite

pytestmark = pytest.mark.slurm


def test_a_submitted_run_gets_its_secrets_and_outlives_the_page(tmp_path: Path, slurm: SlurmSite) -> None:
    """The page ends while jobs wait; the stage has both values, and no file of store or home has."""
    shell = Shell(tmp_path)
    shell.extra = slurm.env
    write_project(shell.cwd)
    fields = {"launcher": "slurm", "params.hf_token": "HF_TOKEN", "env.OTHER_KEY": "MY_OTHER"}
    with form_server(shell, "tell", f"store={shell.store}", "--secrets", "my-secrets") as server:
        digest = server.planned(fields)
        assert "sbatch script of tell" in server.answers[-3]
        _, path, _ = server.open("/start", {"digest": digest})
        submitted = next(event for event in server.watch(path) if "/report" in server.open(path)[2])
        assert "seen" == submitted
    shell.type("watch", "--store", str(shell.store))
    (row,) = shell.rows("tell")
    digests = [hashlib.sha256(one.encode()).hexdigest() for one in (SECRET, OTHER)]
    assert digests == json.loads(json.loads(row)["prompt"])[-2:]
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != "my-secrets"]
    texts = {str(file): file.read_text(errors="replace") for file in files}
    assert "the token is ***HF_TOKEN*** ***OTHER_KEY***" in "".join(texts.values())
    assert [] == [name for name, text in texts.items() if SECRET in text or OTHER in text]
