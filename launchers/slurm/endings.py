"""How the elements of jobs ended, from what squeue and sacct print. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from hpcurate.failures import Ending, JobEnd

STATE_FORMAT = "%i|%T|%N"
"""For squeue: id, state, nodes."""
ACCOUNT_FORMAT = "JobID,State,ExitCode,MaxRSS,AllocTRES,AllocNodes,NodeList"
"""For sacct -P: of jobs, elements and their steps."""
FINAL = frozenset(
    ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL", "NODE_FAIL", "PREEMPTED"]
)
"""States of a job that will not run again. One that is preempted or loses its node and is queued again never shows
PREEMPTED or NODE_FAIL in squeue: the controller makes it PENDING in the same step. REVOKED is not among them: such a
job runs on another cluster of the federation. Whatever we do not know may run."""
BY_STATE = {
    "OUT_OF_MEMORY": Ending.OOM,
    "TIMEOUT": Ending.WALLTIME,
    "DEADLINE": Ending.FREE,
    "PREEMPTED": Ending.FREE,
    "NODE_FAIL": Ending.FREE,
    "BOOT_FAIL": Ending.FREE,
    "CANCELLED": Ending.FREE,
}
"""What a state says of the work: only memory counts against it. A worker that left by itself (COMPLETED, FAILED) wrote
down why, or left no evidence."""
BROKE = ("NODE_FAIL", "BOOT_FAIL")
"""What a state says of a node."""
FULL = 0.95
"""Share of its memory that a killed job had used where memory is what it was killed for."""
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}


class Account(msgspec.Struct, frozen=True):
    """A line of accounting: a job, an element or one of its steps."""

    id: str
    state: str
    exit: str = ""
    """Status and signal, `0:9`."""
    peak: int | None = None
    """Bytes of its largest process, of a step that ran long enough to be measured."""
    memory: int | None = None
    """Bytes that it had on each node."""
    node: str = ""
    """The only node of it; of several it is not known which one is to blame."""

    @property
    def element(self) -> str:
        """`12_3.batch` → `12_3`."""
        return self.id.partition(".")[0]

    @property
    def is_step(self) -> bool:
        """Whether it is a step of an element."""
        return "." in self.id


def states_of(text: str) -> list[tuple[str, str]]:
    """(id, state) of each line of `squeue -h -o STATE_FORMAT`, ids as squeue has them: `12_[4-9]`."""
    rows = (line.split("|") for line in text.splitlines() if "|" in line)
    return [(id.strip(), state.strip()) for id, state, *_ in rows]


def accounts_of(text: str) -> list[Account]:
    """Lines of `sacct -n -P -o ACCOUNT_FORMAT`."""
    return [_account(line.split("|")) for line in text.splitlines() if line.count("|") in (5, 6)]


def _account(fields: list[str]) -> Account:
    id, state, exit, peak, tres, nodes, *names = fields
    held = re.search(r"(?:^|,)mem=([\d.]+[KMGTP]?)", tres)
    memory = _bytes(held[1]) if held else None
    return Account(
        id=id,
        state=state.split(" ")[0],  # CANCELLED by 1000
        exit=exit,
        peak=_bytes(peak),
        memory=memory and memory // max(1, int(nodes) if nodes.isdigit() else 1),
        node=_node(names[0]) if names else "",
    )


def _node(names: str) -> str:
    """Of one job; empty for several, for none and for what has not begun."""
    return names if re.fullmatch(r"[\w.-]+", names) and names != "None" else ""


def _bytes(text: str) -> int | None:
    match = re.fullmatch(r"([\d.]+)([KMGTP]?)", text.strip())
    return int(float(match[1]) * _BYTES[match[2]]) if match else None


def endings_of(queued: str, accounted: str) -> dict[str, JobEnd]:
    """Element → how it ended. What squeue lists is newer; sacct remembers longer, and knows steps and memory.

    Of one that was begun more than once it is not known which attempts belong to the time that ended for memory.
    """
    accounts = accounts_of(accounted)
    begun = Counter(account.element for account in accounts if not account.is_step)
    states = {account.element: account.state for account in accounts if not account.is_step}
    states |= {id: state for id, state in states_of(queued) if "[" not in id}
    out_of_memory = set(_killed_for_memory(accounts, states))
    known = {id: BY_STATE[state] for id, state in states.items() if state in BY_STATE}
    found = {**known, **dict.fromkeys(sorted(out_of_memory), Ending.OOM)}
    ends = {
        id: msgspec.structs.replace(_memory(id, accounts), ending=ending)
        for id, ending in found.items()
        if ending is not Ending.OOM or begun[id] <= 1
    }
    return _with_nodes(ends, states, accounts, nodes_of(queued))


def nodes_of(queued: str) -> dict[str, str]:
    """Element → its node, from `squeue -h -o STATE_FORMAT`."""
    rows = [line.split("|") for line in queued.splitlines() if line.count("|") == 2]
    return {id.strip(): node for id, _, names in rows if (node := _node(names.strip()))}


def _with_nodes(
    ends: Mapping[str, JobEnd], states: Mapping[str, str], accounts: Sequence[Account], queued: Mapping[str, str]
) -> dict[str, JobEnd]:
    """The same with nodes that may be to blame: where an element failed by itself, or its node did, at any time."""
    whole = [account for account in accounts if account.node and not account.is_step]
    nodes = {**{account.element: account.node for account in whole}, **queued}
    failed = {id: nodes.get(id, "") for id, state in states.items() if state == "FAILED" and id not in ends}
    broke = {id: nodes.get(id, "") for id, state in states.items() if state in BROKE}
    broke |= {account.element: account.node for account in whole if account.state in BROKE}
    found = {**ends, **{id: JobEnd(node=node) for id, node in failed.items() if node}}
    ended = {
        id: msgspec.structs.replace(found.get(id, JobEnd()), node=node, node_failed=True)
        for id, node in broke.items()
        if node
    }
    return {**found, **ended}


def _memory(element: str, accounts: Iterable[Account]) -> JobEnd:
    """With the MiB that it had, and its steps used at most."""
    own = [account for account in accounts if account.element == element]
    had, peak = (max((n or 0 for n in ns), default=0) for ns in ([a.memory for a in own], [a.peak for a in own]))
    return JobEnd(memory_mb=had >> 20, peak_mb=peak >> 20)


def _killed_for_memory(accounts: Iterable[Account], states: dict[str, str]) -> Iterator[str]:
    """Elements that are over, and of which a step was killed for memory, with or without a cgroup that says so."""
    for account in accounts:
        state = states.get(account.element)
        if state not in FINAL:
            continue
        full = account.peak is not None and account.memory and account.peak >= FULL * account.memory
        if account.state == "OUT_OF_MEMORY" or (state == "FAILED" and account.exit.endswith(":9") and full):
            yield account.element


def unexplained(queued: str, accounted: str) -> bool:
    """Whether an element failed of which accounting, which may be seconds late, has no step yet."""
    steps = {account.element for account in accounts_of(accounted) if account.is_step}
    return any(state == "FAILED" and id not in steps for id, state in states_of(queued))
