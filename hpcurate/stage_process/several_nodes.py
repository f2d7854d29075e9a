"""A program on all nodes of its job at once: one step of Slurm's, a rank on each node. Python 3.9."""

from __future__ import annotations

import os
import random
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from hpcurate.stage_process import rank

PORTS = range(20_000, 32_000)
"""Below those that outgoing connections take at any time (net.ipv4.ip_local_port_range)."""
_ENDED = re.compile(r"^srun: error: \S+: tasks? [\d,-]+: (.+)$", re.MULTILINE)
_MEMORY = re.compile(r"exceeded (job )?memory limit|oom.kill event|: Out Of Memory$", re.IGNORECASE | re.MULTILINE)
_EXIT = re.compile(r"Exited with exit code (\d+)")


def step(nodes: int, cpus: int) -> list[str]:
    """What stands before a program so that it runs on so many nodes; the step ends with the first that fails. Pure.

    Cores are said again: srun does not have them from sbatch since 22.05. So is what it hands on of the environment.
    """
    whole = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={cpus}"]
    return ["srun", *whole, "--kill-on-bad-exit=1", "--export=ALL"]


def in_folder(folder: str, argv: Sequence[str]) -> list[str]:
    """The program in a folder of this path on whatever node it runs: see `rank`."""
    return [sys.executable, "-I", os.path.abspath(rank.__file__), folder, *argv]


def how_it_ended(code: int, end: str) -> tuple[int, int, bool]:
    """(exit code, or else the signal, whether it was for memory) of the rank that ended first. Pure.

    srun returns 143 for a program that failed, too: then it has terminated the others. So its own lines are read, at
    the end of the output. Where they name no rank, it was the step that failed: a node, a limit, srun itself.
    """
    if not code:
        return 0, 0, False
    if _MEMORY.search(end):
        return 0, 9, True
    first = _ENDED.search(end)
    plain = _EXIT.search(first[1]) if first else None
    if plain:
        return int(plain[1]), 0, False
    return 0, code - 128 if first and code > 128 else 9, False


def head_node() -> str:
    """The name of this node, where the worker is and rank 0 will be, as the others can reach it."""
    names = [os.environ.get("SLURMD_NODENAME", ""), socket.gethostname()]
    for name in filter(None, names):
        with suppress(OSError):
            socket.getaddrinfo(name, None)
            return name
    return names[-1]


@contextmanager
def free_port() -> Iterator[int]:
    """A port that nobody uses here now, and that no other stage process of this node is given meanwhile.

    It cannot be kept open for the program. So what is kept is a name in the kernel, which goes with this process.
    """
    with socket.socket(socket.AF_UNIX) as name:
        yield next(port for port in random.SystemRandom().sample(PORTS, len(PORTS)) if _is_free(port, name))


def _is_free(port: int, name: socket.socket) -> bool:
    """If so, it is ours as long as `name` is open."""
    with socket.socket() as trial, suppress(OSError):
        trial.bind(("", port))
        name.bind(f"\0hpcurate-port-{port}")
        return True
    return False
