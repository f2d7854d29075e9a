"""What a stage imports: itself and what it refers to, not what stands beside it in the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from engine_stages import Double, Number

import hpcurate
from hpcurate.imports import imported_names
from hpcurate.stage_process.imports import not_imported

SOURCE = """
from __future__ import annotations
import json
from typing import TYPE_CHECKING
try:
    import cupy
except ImportError:
    cupy = None
if TYPE_CHECKING:
    import torch.fx
CODECS = codecs_of("h264")

def codecs_of(name):
    import av
    return av.Codec(name)

def read(path):
    import cv2
    return decode(cv2, path)

def decode(how, path):
    import turbojpeg

def unused():
    import nobody

class Base:
    def setup(self, worker):
        import numpy

class Cut(Base):
    def process(self, tasks):
        from PIL import Image
        return [read(task) for task in tasks]

class Caption(Base):
    def process(self, tasks):
        import torch
"""
ALWAYS = ["__future__", "json", "typing", "av", "numpy"]


@pytest.mark.parametrize(
    ("classes", "own"),
    [({"Cut"}, ["PIL", "cv2", "turbojpeg"]), ({"Caption"}, ["torch"]), ({"Cut", "Caption"}, ["PIL", "cv2", "torch", "turbojpeg"])],
)  # fmt: skip
def test_a_stage_needs_what_it_and_what_it_refers_to_import(classes: set[str], own: list[str]) -> None:
    """Modules of another stage of the file were reported as missing in this one's environment."""
    assert sorted([*ALWAYS, *own]) == sorted(imported_names(SOURCE, classes))


def test_what_cannot_be_imported_is_told_with_the_reason() -> None:
    """A module a line."""
    told = not_imported("import json\nimport no_such_module_here\n", ())
    assert ["no_such_module_here: ModuleNotFoundError: No module named 'no_such_module_here'"] == told


HEAVY = {
    "hydra", "omegaconf", "submitit", "filelock", "subprocess", "ctypes", "hashlib", "shutil", "tempfile", "yaml", "pathlib",
    "urllib.parse", "logging", "concurrent.futures", "socket",
}  # fmt: skip
"""What a look at a run does not need; what does need one of them imports it there."""
OF_A_CALL = {
    f"hpcurate.{name}"
    for name in ("task", "stage", "spec", "server", "command", "members", "model", "cli", "source", "site_files",
                 "planning.build", "planning.options", "planning.wanted", "runs.start", "report")
}  # fmt: skip
"""What only a call needs that starts or continues a run."""


OF_A_SUBMISSION = ("doctor", "checks", "compiler", "preflight", "refusals", "arrays", "most", "limits", "submit")
"""Modules of the Slurm launcher that a gate which submits nothing does not need."""


@pytest.mark.parametrize(
    ("module", "not_needed"),
    [
        ("hpcurate.runs.gate", HEAVY | OF_A_CALL),
        ("launchers.slurm", HEAVY | OF_A_CALL | {f"launchers.slurm.{name}" for name in OF_A_SUBMISSION}),
        ("hpcurate.worker.supervisor", {"hydra", "omegaconf", "submitit", "filelock", "yaml", "hpcurate.cli", "hpcurate.runs"}),
    ],
)  # fmt: skip
def test_a_job_starts_with_little(module: str, not_needed: set[str]) -> None:
    """A gate that submits nothing, and each of the workers that start at once, wait for their imports."""
    assert set() == not_needed & loaded(f"import {module}")


def test_a_gate_that_submits_nothing_needs_no_more(tmp_path: Path) -> None:
    """Of a complete run, from `pipeline.json` to what it prints."""
    outcome = hpcurate.run({"double": Double()}, [Number(id="a", value=1)], store=tmp_path / "store", launcher="inline")
    frozen = Path(outcome.run.path, "pipeline.json")
    slurm = {"_target_": "launchers.slurm.SlurmLauncher"}
    frozen.write_text(json.dumps({**json.loads(frozen.read_text()), "launcher": slurm}))
    program = f"from hpcurate.runs import gate; gate.main([{outcome.run.path!r}, '', '0', '60'])"
    assert set() == (HEAVY | OF_A_CALL | {f"launchers.slurm.{name}" for name in OF_A_SUBMISSION}) & loaded(program)


def test_what_starts_a_run_imports_no_other_verb_and_no_other_source() -> None:
    """Nor what only shows runs."""
    others = ("cli.verbs", "cli.completion", "report.page", "report.run_view", "source.groups", "source.tables", "source.items",
              "worker", "stage_process.runner", "models.hub", "inference", "runs.cancel", "runs.clean")  # fmt: skip
    program = "import hpcurate.cli.start.launch, hpcurate.source.files"
    assert set() == {f"hpcurate.{name}" for name in others} & loaded(program)


def loaded(program: str) -> set[str]:
    """Modules that a Python has at the end of a program."""
    program = f"{program}\nimport sys; print(*sys.modules, file=sys.stderr)"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr.split()
    )
