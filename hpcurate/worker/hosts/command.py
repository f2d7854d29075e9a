"""How a stage process is started: its command, and what it finds in its environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress

from hpcurate.planning.pipeline import Environment
from hpcurate.planning.plan import Plan
from hpcurate.stage import WorkerInfo
from hpcurate.store.layout import Store

_START = (
    "import os, platform, runpy, sys; sys.path[:1] == [''] and sys.path.pop(0); "
    "code, runtime = sys.argv[1:3]; del sys.argv[1:3]; "
    "code and code not in sys.path and sys.path.insert(0, code); "
    "runtime and sys.path.append('%s/cp%d%d-%s' % (runtime, *sys.version_info[:2], platform.machine())); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
"""`python -m MODULE`, but never with the current folder in front of the frozen code (I3), and with the runtime last:
an environment's own packages win. As arguments, because a container may inherit no variables."""

OFFLINE = {
    "HF_HUB_OFFLINE": "1",  # nobody asks the hub: weights are in the store
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",  # its threads and a fork of the stage's own do not go together
}
"""What a stage process finds where the user has not set it."""
CACHES = {
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "cuda",
    "VLLM_CACHE_ROOT": "vllm",
    "HF_MODULES_CACHE": "hf-modules",
}
ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""How torch's allocator is set up, and the name of that before torch 2.9."""


def start_command(env: Environment, code: str | None, store: str, module: str, *words: str) -> list[str]:
    """The command that runs one of our modules in an environment. Pure."""
    runtime = Store(store).runtime if env.python else ""
    return [*(env.python or (sys.executable,)), "-c", _START, code or "", runtime, module, *words]


def stage_variables(plan: Plan, info: WorkerInfo) -> dict[str, str]:
    """What a stage process is to find in its environment, beside what is there."""
    own = (
        os.environ.get("PYTHONPATH") if not plan.stage.env.python else None
    )  # another Python's packages are not for it
    path = [p for p in (plan.code, own) if p]
    found = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}
    found |= {name: os.environ.get(name, value) for name, value in OFFLINE.items()}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        found[name] = os.environ.get(name, str(info.cpus))
    if info.device == "cpu":
        found["CUDA_VISIBLE_DEVICES"] = ""  # what a node happens to have is not used by accident
    elif info.gpus:
        found |= {"CUDA_VISIBLE_DEVICES": ",".join(info.gpus), "APPTAINER_NV": "1", "SINGULARITY_NV": "1"}
    if (
        info.device == "cuda"
    ):  # numbered as Slurm and the driver do, not the fastest first: nodes may have several kinds
        found["CUDA_DEVICE_ORDER"] = os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if info.device == "cuda" and not any(name in os.environ for name in ALLOCATOR):
        found[ALLOCATOR[0]] = "expandable_segments:True"  # sizes of batches differ: else memory breaks into pieces
    return found


def cache_variables(folder: str, environment: str, given: Mapping[str, str]) -> dict[str, str]:
    """Where compilers and hubs keep what they make: on the node's own disk, apart for each environment. Pure.

    A home directory is on shared storage, where the workers of an array would race, and may be full. `folder` is the
    node's, which only this user can enter; what is `given` by the user stays.
    """
    below = os.path.join(folder, ".caches", environment or "own")
    return {name: os.path.join(below, part) for name, part in CACHES.items() if name not in given}


def prefix_variables(env: Environment) -> dict[str, str]:
    """What the activation scripts of a prefix set: as its build wrote down, else as found at submission."""
    written = os.path.join(str(env.prefix), ".hpcurate.json")
    with suppress(OSError, ValueError, KeyError), open(written, encoding="utf-8") as file:
        found: dict[str, str] = json.load(file)["variables"]
        return found
    return env.variables
