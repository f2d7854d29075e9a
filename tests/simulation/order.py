"""More that has to hold at every step, on the true state: what nobody would see in the result at once, if it did not.

A commit is read-only, whoever works has the claim, what is asked for in vain is not asked for again and again.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from hpcurate.store.layout import fan_of
from tests.simulation.cluster import Job
from tests.simulation.filesystem import Node
from tests.simulation.kernel import Process, Violation
from tests.simulation.truth import ENDINGS, Truth

AT_ONCE_S = 20.0
"""Between a look and what is done on it, on a site where nothing stands still, less than this passes."""
STOPPED_S = 150.0
"""After this time a job that was cancelled has ended."""
ROUND = r"(?!gate-)(.+)-r(\d+)-[0-9a-f]{8}-[0-9a-f]{8}"
LISTING_S = 30.0
"""So long a worker goes by what it has listed."""
MOST_TRIES = {"claims": 1, "rounds": 10}
"""So often one process tries in vain to make the same claim, and the same ticket, which it may not see at first."""


@attrs.define(eq=False)
class Order:
    """Watches one store, too."""

    truth: Truth
    _committed: dict[tuple[str, str], float] = attrs.field(factory=dict)
    """(stage folder, shard) → when it was committed."""
    _over: dict[tuple[str, int], float] = attrs.field(factory=dict)
    _claimed: dict[Process, list[tuple[str, str, str]]] = attrs.field(factory=dict)
    """(stage folder, fan-out folder, claim) of a worker."""
    _worked: set[tuple[str, str]] = attrs.field(factory=set)
    """(stage folder, claim) that somebody began to work on."""
    _forgiven: dict[tuple[str, str], list[int]] = attrs.field(factory=dict)
    """(run, stage) → last rounds before its calls."""
    _submitter: dict[Job, Process] = attrs.field(factory=dict)
    _in_vain: Counter[tuple[Process, str]] = attrs.field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        self.truth.disk.hooks.append(self.heard)
        self.truth.site.listeners.append(self.said)
        for cluster in self.truth.site.clusters.values():
            cluster.at_queuing.append(self._queued)

    # -- who does it, and when --------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return self.truth.site.kernel.now

    @property
    def _me(self) -> Process | None:
        running = self.truth.site.kernel.running
        return running.process if running else None

    @property
    def _label(self) -> str:
        return self._me.label if self._me else "?"

    def _moved_on(self, since: float) -> bool:
        """Whether the running process has neither stood still nor waited for storage since then."""
        me = self._me
        return me is not None and max(me.frozen_until, me.host.frozen_until, me.answered_late) <= since

    @property
    def _nothing_fails(self) -> bool:
        faults = self.truth.disk.faults
        return not (faults.errors or faults.full or faults.cuts)

    def heard(self, what: str, names: list[str], node: Node | None) -> None:
        """One change: see `Truth.heard`."""
        if names[1] != self.truth.store[1:]:
            return
        if len(names) == 5 and names[2] == "runs" and node is not None:
            self._of_a_run(names[3], names[4], node)
        elif len(names) >= 6 and names[2] == "stages":
            self._of_a_stage(what, names[3], names[4], names[5:], node)

    def _of_a_run(self, run: str, name: str, node: Node) -> None:
        if name == "summary.json":
            self._reported(run, json.loads(node.data))
        elif name == "pipeline.json":
            for stage, number in json.loads(node.data)["forgiven"].items():
                self._forgiven.setdefault((run, stage), []).append(number)

    def _of_a_stage(self, what: str, folder: str, kind: str, rest: list[str], node: Node | None) -> None:
        if what == "in vain":
            self._tried(folder, kind, rest)
        elif kind == "rounds":
            self._rounds(what, folder, rest[0])
        elif kind == "lists" and node is not None and not self.truth.mayhem:
            self._lists(folder, rest[0], node)
        elif len(rest) == 2 and not folder.startswith("source-"):
            if kind == "claims" and what == "put":
                self._claims(folder, rest[0], rest[1], node)
            elif kind == "shards" and node is not None:
                self._shards(what, folder, rest[0], rest[1], node)

    # -- claims -----------------------------------------------------------------------------------------

    def _claims(self, folder: str, fan: str, name: str, node: Node | None) -> None:
        shard, _, attempt = name.rpartition(".")
        if attempt in ENDINGS:
            self._handed_back(folder, fan, shard)
        elif attempt.isdigit():
            self._needless(folder, shard)
            self._of_a_round_that_is_over(folder, name, node)
            self._keep(folder, fan, name)

    def _keep(self, folder: str, fan: str, name: str) -> None:
        if self._me is not None and self._me not in self._claimed:
            self._me.at_end.append(self._left)
        if self._me is not None:
            self._claimed.setdefault(self._me, []).append((folder, fan, name))

    def _left(self, worker: Process) -> None:
        """Who leaves because nothing is left to do has worked on all that it claimed."""
        if worker.status != 0 or worker.leaving or self.truth.mayhem:
            return
        for folder, fan, claim in self._claimed[worker]:
            names = self.truth.disk.listed(f"{self.truth.store}/stages/{folder}/claims/{fan}")
            ended = any(f"{claim}.{ending}" in names for ending in ENDINGS)
            if claim in names and not ended and (folder, claim) not in self._worked:
                raise Violation(f"I14: {worker.label} leaves, and has done nothing about its {claim} of {folder}")

    def _needless(self, folder: str, shard: str) -> None:
        """What is committed is not begun again: who looked it up in vain believes that for a while."""
        since, me = self._committed.get((folder, shard)), self._me
        if self.truth.disk.listed(f"{self.truth.store}/stages/{folder}/freed/{fan_of(shard)}"):
            return  # done again for its files
        path = f"{self._shards_of(folder, fan_of(shard))}/{shard}/stats.json"
        if (
            self.truth.mayhem
            or since is None
            or me is None
            or self.truth.site.client(me.host).believed_missing(path) > self._now - AT_ONCE_S
        ):
            return
        if self._now - since > AT_ONCE_S and self._moved_on(since):
            raise Violation(f"I5: {self._label} begins {shard} of {folder}, committed {self._now - since:.0f} s ago")

    def _of_a_round_that_is_over(self, folder: str, name: str, node: Node | None) -> None:
        number = json.loads(node.data)["round"] if node is not None and node.data else 0
        since = self._over.get((folder, number))
        late = AT_ONCE_S + LISTING_S + self.truth.disk.faults.stale_s
        if since is not None and self._now - since > late and self._moved_on(since):
            raise Violation(f"I8: {self._label} takes {name} of {folder}, and its round {number} is over")

    def _handed_back(self, folder: str, fan: str, claim: str) -> None:
        """Nothing is left of it."""
        left = [n for n in self.truth.disk.listed(self._shards_of(folder, fan)) if n.startswith(f".{claim}.")]
        if left and self._nothing_fails and self._owner(folder, fan, claim) is self._me:
            raise Violation(f"I11: {self._label} hands {claim} of {folder} back and leaves {left[0]}")

    def _owner(self, folder: str, fan: str, claim: str) -> Process | None:
        return self.truth.process_of(self.truth.claim(folder, fan, claim)[1])

    def _shards_of(self, folder: str, fan: str) -> str:
        return f"{self.truth.store}/stages/{folder}/shards/{fan}"

    # -- attempts and commits -----------------------------------------------------------------------------

    def _shards(self, what: str, folder: str, fan: str, name: str, node: Node) -> None:
        if what == "take":
            self._committed.pop((folder, name), None)
        elif what == "put" and name.startswith("."):
            self._begun(folder, fan, *name[1:].rsplit(".", 2))
        elif what == "put":
            self._commit(folder, fan, name)

    def _commit(self, folder: str, fan: str, name: str) -> None:
        """Nobody can write it any more."""
        self._committed[folder, name] = self._now
        loose = [
            file for file, found in self.truth.disk.below(f"{self._shards_of(folder, fan)}/{name}") if not found.frozen
        ]
        if loose:
            raise Violation(f"I11: {loose[0]} of {name} of {folder} is committed and can be written")

    def _begun(self, folder: str, fan: str, shard: str, attempt: str, nonce: str) -> None:
        """Whoever works on an attempt has its claim."""
        self._worked.add((folder, f"{shard}.{attempt}"))
        _, claim = self.truth.claim(folder, fan, f"{shard}.{attempt}")
        if not self.truth.mayhem and claim.get("nonce") != nonce:
            raise Violation(f"I4: {self._label} works on attempt {attempt} of {shard} of {folder} without its claim")

    def said(self, who: Process, folder: str, line: str) -> None:
        """A line of a worker's log: whose attempt is committed."""
        found = re.fullmatch(r"shard (\S+) attempt (\d+): .* in [0-9.]+ s( \(another.*)?", line)
        if found is None or who.store != self.truth.store or self.truth.mayhem:
            return
        stands = self.truth.stats(folder, found[1]).get("attempt")
        if bool(found[3]) is (int(found[2]) == stands):
            raise Violation(f"I5: {who.label} says {line!r}, and what is committed is attempt {stands}")

    def result(self, folder: str, shard: str) -> None:
        """In the end a shard is made of what is committed above, whatever was purged meanwhile."""
        line = self.truth.line(folder, shard)
        for stage, above, nonce, _, _ in line["inputs"] if line else ():
            if self.truth.stats(stage, above).get("nonce") != nonce:
                raise Violation(f"I10: {shard} of {folder} was made of an attempt of {above} that is gone")

    # -- lists --------------------------------------------------------------------------------------------

    def _lists(self, folder: str, name: str, node: Node) -> None:
        """A list is made of lists that are complete."""
        for line in filter(None, node.data.splitlines()):
            for stage, shard, *_ in json.loads(line)["inputs"]:
                if not any(shard in ids and all(map(self._stands(stage), ids)) for ids in self._ids_of_lists(stage)):
                    raise Violation(f"I10: {self._label} writes list {name} of {folder} before {stage} is complete")

    def _stands(self, folder: str) -> Callable[[str], bool]:
        return lambda shard: bool(self.truth.stats(folder, shard))

    def _ids_of_lists(self, folder: str) -> Iterator[list[str]]:
        for name, node in self.truth.disk.below(f"{self.truth.store}/stages/{folder}/lists"):
            if not name.startswith("."):
                yield [json.loads(line)["id"] for line in filter(None, node.data.splitlines())]

    # -- rounds -------------------------------------------------------------------------------------------

    def _rounds(self, what: str, folder: str, name: str) -> None:
        number, _, kind = name.partition(".")
        if what == "over" and kind in ("ticket", "over"):
            raise Violation(f"I8: {name} of {folder} is made again by {self._label}")
        if what == "put" and kind == "over":
            self._over[folder, int(number)] = self._now

    def _queued(self, job: Job) -> None:
        """Nobody submits without a ticket, or leaves alone what nobody wants any more."""
        found = re.fullmatch(ROUND, job.name)
        if found and job.store == self.truth.store:
            ticket = f"{self.truth.store}/stages/{found[1]}/rounds/{int(found[2]):04d}.ticket"
            if self.truth.disk.find(ticket) is None:
                raise Violation(f"I8: {self._label} submits round {found[2]} of {found[1]} without its ticket")
            if self._me is not None:
                self._submitter[job] = self._me
                self._see_that_it_is_stopped(job, self._me, found[1], int(found[2]))

    def _see_that_it_is_stopped(self, job: Job, who: Process, folder: str, number: int) -> None:
        """A job of a round that is over or cancelled, by whom its submission was answered."""
        kernel, names = self.truth.site.kernel, self.truth.disk.listed(f"{self.truth.store}/stages/{folder}/rounds")
        since, manners = kernel.now, self.truth.site.clusters[who.host.cluster].manners
        unwanted = [kind for kind in ("over", "cancelled") if f"{number:04d}.{kind}" in names]
        sure = self._nothing_fails and not (manners.silent or manners.empty or self.truth.disk.faults.stale_s)

        def look() -> None:
            late = max(who.frozen_until, who.host.frozen_until, who.answered_late) > since
            killed = not who.alive and who.status is None
            gone = job.ended is not None and (
                job.ended - since < AT_ONCE_S or all(element.state == "CANCELLED" for element in job.elements)
            )
            if not (late or killed or gone):
                raise Violation(f"I8: job {job.id} of a round that is {unwanted[0]} is not stopped by {who.label}")

        if unwanted and sure:
            kernel.at(since + STOPPED_S, look)

    def left_running(self, who: Process, folders: Sequence[str]) -> None:
        """Whoever says that a run goes on, and leaves, leaves a gate: behind what it has submitted, and, where nothing
        goes wrong, behind whatever is queued or works.
        """
        cluster = self.truth.site.clusters[who.host.cluster]
        lies = cluster.manners.silent or cluster.manners.empty or cluster.manners.unanswered
        calm = self.truth.site.kernel.tempo.quiet or (self._nothing_fails and not lies)
        gates_left = [one for one in cluster.jobs.values() if one.name.startswith("gate-") and not one.over]
        calm = calm and not any(one.store == self.truth.store for one in gates_left)  # that of a stage above will look
        for job in cluster.jobs.values():
            found = re.fullmatch(ROUND, job.name)
            ours = found and found[1] in folders and job.store == self.truth.store and not job.over and not job.late
            if not found or not ours or (found[1], f"{int(found[2]):04d}") in self.truth.cancelled:
                continue
            gates = [gate for gate in cluster.jobs.values() if job.id in gate.after]
            if (self._submitter.get(job) is who and not gates) or (calm and all(gate.over for gate in gates)):
                raise Violation(f"I7: {who.label} leaves, job {job.id} of {found[1]} works, and no gate waits for it")

    def _reported(self, run: str, summary: dict[str, Any]) -> None:
        """Who says that rounds came to nothing has compared rounds over the same lists."""
        found = re.search(r"(\S+): (\d+) rounds in a row", summary["reason"] or "")
        frozen = self.truth.disk.find(f"{self.truth.store}/runs/{run}/pipeline.json")
        if found is None or summary["state"] != "stalled" or frozen is None:
            return
        plain = json.loads(frozen.data)
        folder = next(s["folder"] for s in plain["pipeline"]["stages"] if s["name"] == found[1])
        forgiven = min(self._forgiven[run, found[1]][-4:], default=0)  # whoever says it began with an earlier one
        lists = Counter(self._lists_of_rounds(folder, forgiven))
        if lists and max(lists.values()) + lists[""] < int(found[2]):
            raise Violation(f"I14: {self._label} says {summary['reason']!r}, of rounds over {dict(lists)}")

    def _lists_of_rounds(self, folder: str, after: int) -> Iterator[str]:
        path = f"{self.truth.store}/stages/{folder}/rounds"
        for name in self.truth.disk.listed(path):
            node = self.truth.disk.find(f"{path}/{name}")
            if name.endswith(".ticket") and int(name[:4]) > after and node is not None and node.data:
                yield json.loads(node.data).get("lists", "")

    def _tried(self, folder: str, kind: str, rest: list[str]) -> None:
        """Who made a claim or a ticket in vain knows of it."""
        counted = rest[-1].rpartition(".")[2]
        if self._me is not None and (counted.isdigit() or counted == "ticket"):
            key = self._me, f"{folder}/{rest[-1]}"
            self._in_vain[key] += 1
            if self._in_vain[key] > MOST_TRIES.get(kind, 1):
                raise Violation(f"I12: {self._label} tries again and again to make {key[1]}")
