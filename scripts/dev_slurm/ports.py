"""Free TCP ports, held until the daemons have them."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from . import config
from .folder import DevSlurmError

# Below the range from which Linux takes ports of outgoing connections (32768 upward).
CANDIDATES = range(20000, 32000)


@contextmanager
def reserved_ports() -> Iterator[config.Ports]:
    """Ports for one dev-slurm, which no other one can choose while the block lasts.

    Each is first bound exclusively, which fails if another process has it, and is shared only then:
    Slurm's daemons, which bind with SO_REUSEADDR, get it, and another `up` does not.
    """
    wanted = 2 + len(config.NODES)
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(CANDIDATES, len(CANDIDATES)):
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("", port))
            except OSError:
                probe.close()
                continue
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.append(port)
            if len(found) == wanted:
                slurmctld, slurmdbd, *others = found
                slurmd = {node: others[index] for index, node in enumerate(config.NODES)}
                yield config.Ports(slurmctld, slurmdbd, slurmd)
                return
    raise DevSlurmError(f"no free TCP ports from {CANDIDATES[0]} to {CANDIDATES[-1]}: what uses them?")
