"""A run that a form has submitted: jobs inherit the secret that was chosen by name, and nobody needs the page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from form_server import OTHER, SECRET, form_server, write_project
from shell import Shell
from slurm_fixture import SlurmSite

pytestmark = pytest.mark.slurm


@contextmanager
def drained(slurm: SlurmSite) -> Iterator[None]:
    """No node takes a job meanwhile."""
    nodes = ",".join(sorted(set(slurm.run("sinfo", "-h", "-N", "-o", "%N").split())))
    slurm.run("scontrol", "update", f"nodename={nodes}", "state=drain", "reason=test")
    try:
        yield
    finally:
        slurm.run("scontrol", "update", f"nodename={nodes}", "state=resume")


def test_a_submitted_run_gets_its_secrets_and_outlives_the_page(tmp_path: Path, slurm: SlurmSite) -> None:
    """The page shows that jobs wait, and why; it ends while they do. The stage has both values, and no file has."""
    shell = Shell(tmp_path)
    shell.extra = slurm.env
    write_project(shell.cwd)
    fields = {"launcher": "slurm", "params.hf_token": "HF_TOKEN", "env.OTHER_KEY": "MY_OTHER"}
    with form_server(shell, "tell", f"store={shell.store}", "--secrets", "my-secrets") as server:
        digest = server.planned(fields)
        assert "sbatch script of tell" in server.answers[-3]
        with drained(slurm):
            _, path, _ = server.open("/start", {"digest": digest})
            assert next(True for _ in server.watch(path) if "pending, " in server.answers[-1])
    shell.type("watch", "--store", str(shell.store))
    row, _ = shell.rows("tell")
    digests = [hashlib.sha256(one.encode()).hexdigest() for one in (SECRET, OTHER)]
    assert digests == json.loads(json.loads(row)["prompt"])[-2:]
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != "my-secrets"]
    texts = {str(file): file.read_text(errors="replace") for file in files}
    assert "the token is ***HF_TOKEN*** ***OTHER_KEY***" in "".join(texts.values())
    assert [] == [name for name, text in texts.items() if SECRET in text or OTHER in text]
