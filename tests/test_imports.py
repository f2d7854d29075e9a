"""What a stage imports: itself and what it refers to, not what stands beside it in the file."""

from __future__ import annotations

import subprocess
import sys

import pytest

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


HEAVY = {"hydra", "omegaconf", "submitit", "filelock", "subprocess", "ctypes", "hashlib", "shutil", "tempfile", "yaml"}
"""What a look at a run does not need; what does need one of them imports it there."""


@pytest.mark.parametrize(
    ("module", "not_needed"),
    [
        ("hpcurate.runs.gate", HEAVY | {"hpcurate.command", "hpcurate.members", "hpcurate.cli", "hpcurate.source"}),
        ("hpcurate.worker.supervisor", {"hydra", "omegaconf", "submitit", "filelock", "yaml", "hpcurate.cli", "hpcurate.runs"}),
    ],
)  # fmt: skip
def test_a_job_starts_with_little(module: str, not_needed: set[str]) -> None:
    """A gate that submits nothing, and each of the workers that start at once, wait for their imports."""
    program = f"import sys, {module}; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert set() == not_needed & set(said.split())
