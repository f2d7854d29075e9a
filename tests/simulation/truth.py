"""What must hold at every step, checked on the true state: not on what any actor sees.

Each change of the true tree is heard as it happens; only what the change could break is checked.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from hpcurate.failures import Ending
from hpcurate.store.layout import base, fan_of, version
from tests.simulation.cluster import Job
from tests.simulation.filesystem import Disk, Node
from tests.simulation.groups import MATCH, SORT, lost_with
from tests.simulation.kernel import Process, Violation
from tests.simulation.results import sum_of
from tests.simulation.site import Site
from tests.simulation.work import decoded, doomed, made, may_fail

ENDINGS = frozenset(ending.value for ending in Ending)
MOST_GATES = 12
"""So many of one stage at once are a storm: each of them looks after the next round."""
MOST_COPIES = 5
"""Versions of a list with the lines of another: by who did not see that one when it looked, and did when it wrote."""
BELIEVED_S = 150.0
"""So long somebody may believe that an attempt stands that was replaced: two listings (`CONFIRM_S`), and a stale one."""
DRIFT = 0.995
"""A lease by a clock that runs fast is shorter by this factor."""


@attrs.define(eq=False)
class Truth:
    """Watches one site."""

    site: Site
    store: str
    lease_s: float = 300.0
    gaps: dict[str, list[tuple[float, float]]] = attrs.field(factory=dict)
    """Path of a counter → when it stood still for a lease."""
    ended: set[str] = attrs.field(factory=set)
    """Attempts whose ending was written at some time."""
    purged: set[str] = attrs.field(factory=set)
    """Folders of shards, claims and lists that somebody outside has removed from."""
    cancelled: set[tuple[str, str]] = attrs.field(factory=set)
    """(stage folder, round) that a user cancelled."""
    stopped: set[str] = attrs.field(factory=set)
    """Runs that a user ever cancelled."""
    _beats: dict[str, float] = attrs.field(factory=dict)
    mayhem: bool = False
    """Somebody purges: then names may go and come again."""
    made: dict[str, float] = attrs.field(factory=dict)
    """Path of a shard → when what stands there was committed."""
    commits: int = 0
    attempts: int = 0
    takeovers: int = 0

    def __attrs_post_init__(self) -> None:
        self.site.disk.hooks.append(self.heard)
        self.site.leaving.append(self._left)
        for cluster in self.site.clusters.values():
            cluster.at_queuing.append(self._queued)

    @property
    def disk(self) -> Disk:
        """The true tree."""
        return self.site.disk

    def heard(self, what: str, names: list[str], node: Node | None) -> None:
        """One change: `/store/stages/<folder>/<kind>/…`, or `/store/runs/<run>/…`."""
        if len(names) == 4 and names[2] == "runs" and node is not None and node.names is None:
            raise Violation(f"I3: {names[3]} is written beside the runs, not into one")
        if len(names) == 5 and names[1:3] == [self.store[1:], "runs"] and node is not None:
            self._of_run(names[3], names[4], node)
        if len(names) < 6 or names[2] != "stages" or names[1] != self.store[1:]:
            return
        folder, kind, rest = names[3], names[4], names[5:]
        if kind == "claims" and len(rest) == 2:
            self._claims(what, folder, rest[0], rest[1], node)
        elif kind == "shards" and len(rest) >= 2 and not rest[1].startswith("."):
            self._of_shard(what, folder, rest)
        elif kind == "checkpoints" and what == "put" and len(rest) == 2:
            self._checkpoint(folder, rest[0], rest[1], node)
        elif kind == "lists":
            self._lists(what, folder, rest[0])
        elif kind == "rounds":
            self._rounds(what, folder, rest[0], node)
        if what == "write" and (kind == "workers" or rest[-1].endswith(".beat")):
            self._beaten("/".join(names))

    def _of_shard(self, what: str, folder: str, rest: list[str]) -> None:
        if rest[2:] == ["files"]:
            self._files(what, folder, rest[0], rest[1])
        else:
            self._shards(what, folder, rest[0], rest[1], len(rest) > 2)

    def _of_run(self, run: str, name: str, node: Node) -> None:
        """What a user has cancelled is cancelled, and nothing else."""
        if name == "cancelled":
            self.stopped.add(run)
        if name == "summary.json" and run not in self.stopped and b'"state": "cancelled"' in node.data:
            raise Violation(f"I14: {self.who()} says that {run} is cancelled, and nobody has cancelled it")

    def _beaten(self, path: str) -> None:
        now, before = self.site.kernel.now, self._beats.get(path)
        self._beats[path] = now
        if before is not None and now - before >= self.lease_s * DRIFT:
            self.gaps.setdefault(path, []).append((before, now))

    def stood_still(self, path: str, since: float) -> bool:
        """Whether a counter has stood still for a lease at some time since then: who saw that may act later."""
        still = [*self.gaps.get(path, ()), (self._beats.get(path, since), self.site.kernel.now)]
        return any(end - max(begin, since) >= self.lease_s * DRIFT for begin, end in still)

    # -- I5 -----------------------------------------------------------------------------------------

    def _checkpoint(self, folder: str, fan: str, name: str, node: Node | None) -> None:
        """An attempt begins without a checkpoint: then none before it has left one."""
        if node is not None and node.names:
            return
        shard, _, attempt = name.rpartition(".")
        place = f"{self.store}/stages/{folder}/checkpoints/{fan}"
        for other in self.disk.listed(place):
            of, _, number = other.rpartition(".")
            if of == shard and int(number) < int(attempt) and self.disk.listed(f"{place}/{other}"):
                raise Violation(
                    f"I5: attempt {attempt} of {shard} of {folder} begins from nothing, and there is {other}"
                )

    # -- I4 -----------------------------------------------------------------------------------------

    def _claims(self, what: str, folder: str, fan: str, name: str, node: Node | None) -> None:
        shard, _, attempt = name.rpartition(".")
        if what == "over":
            raise Violation(f"I4: {name} of {folder} was made anew")
        if what == "take" and not self.mayhem and self._whose() != "storage":
            raise Violation(f"I4: {name} of {folder} was deleted")
        if what == "put" and attempt in ENDINGS:
            self._marked(folder, fan, shard, attempt)
        elif what == "put" and attempt.isdigit():
            self.attempts += 1
            self._history(folder, fan, name, int(attempt))
            if int(attempt) > 1:
                self.takeovers += 1
                self._taken_over(folder, fan, shard, int(attempt) - 1)

    def _history(self, folder: str, fan: str, name: str, attempt: int) -> None:
        """A claim says of each attempt before it how that ended; one before it that has no content says nothing."""
        _, content = self.claim(folder, fan, name)
        if content and len(content["history"]) != attempt - 1 and self.disk.faults.links and not self.mayhem:
            raise Violation(f"I4: {name} of {folder} knows only how {content['history']} ended")

    def _whose(self) -> str:
        """The storage itself takes a file back whose content it could not write."""
        return "storage" if not self.disk.faults.links else ""

    def claim(self, folder: str, fan: str, name: str) -> tuple[Node | None, dict[str, Any]]:
        """A claim as it stands; empty where it cannot be read."""
        node = self.disk.find(f"{self.store}/stages/{folder}/claims/{fan}/{name}")
        try:
            return node, json.loads(node.data) if node is not None else {}
        except ValueError:
            return node, {}

    def _marked(self, folder: str, fan: str, claim: str, ending: str) -> None:
        """An ending is written by whose attempt it is, or by who found its committed result gone."""
        self.ended.add(f"{folder} {claim}")
        _, content = self.claim(folder, fan, claim)
        owner, running = self.process_of(content), self.site.kernel.running
        if running is None or owner is running.process or not content:  # purged, or not yet written
            return
        if ending == Ending.LOST.value and self.disk.listed(f"{self.store}/stages/{folder}/freed"):
            return  # whoever needs files that were freed ends the attempt that made them
        if self.purged and (ending == Ending.LOST.value or any("/claims/" in path for path in self.purged)):
            return  # where claims were purged, two attempts may have the same number
        raise Violation(f"I4: {running.process.label} ends {claim} of {folder}, an attempt of {owner and owner.label}")

    def _left(self, worker: Process, folder: str) -> None:
        """Who leaves by itself has ended all it had claimed; where the storage failed, somebody else will have to."""
        faults = self.disk.faults
        if faults.errors or faults.full or faults.cuts or faults.lost_rows or not faults.links or self.mayhem:
            return
        claims = f"{self.store}/stages/{folder}/claims"
        for path, node in self.disk.below(claims) if self.disk.find(claims) else ():
            fan, name = path.split("/")
            shard, _, attempt = name.rpartition(".")
            if attempt.isdigit() and self.process_of(json.loads(node.data or b"{}")) is worker:
                marked = any(f"{name}.{ending}" in self.disk.listed(f"{claims}/{fan}") for ending in ENDINGS)
                if not marked and not self.stats(folder, shard):
                    raise Violation(f"I4: {worker.label} leaves, and its claim {name} of {folder} is open")

    def process_of(self, content: Mapping[str, Any]) -> Process | None:
        """Whose claim it is."""
        who = content.get("process") or {}
        return next((p for i, p in self.site.kernel.processes.items() if i.pid == who.get("pid")), None)

    def _taken_over(self, folder: str, fan: str, shard: str, attempt: int) -> None:
        """Attempt n+1 was begun: n must have ended."""
        node, content = self.claim(folder, fan, f"{shard}.{attempt}")
        if node is None:
            if not self.mayhem:
                raise Violation(f"I4: attempt {attempt + 1} of {shard} of {folder} follows none")
            return
        owner = self.process_of(content)
        names = self.disk.listed(f"{self.store}/stages/{folder}/claims/{fan}")
        if any(f"{shard}.{attempt}.{ending}" in names for ending in ENDINGS) or (owner and not owner.alive):
            return
        if f"{folder} {shard}.{attempt}" in self.ended and not self.disk.faults.links:
            return  # its content could not be written, and the storage took it back: who saw it knows
        if self._round_is_over(folder, content.get("round", 0)):
            return
        counter = (
            f"{self.store}/stages/{folder}/workers/{content['worker'][-2:]}/{content['worker']}" if content else ""
        )
        if self.stood_still(counter, node.written) or node.written - node.made >= self.lease_s * DRIFT:
            return
        who = owner.label if owner else "somebody unknown"
        raise Violation(
            f"I4: attempt {attempt + 1} of {shard} of {folder} begins while {who} works on attempt {attempt}"
        )

    def _round_is_over(self, folder: str, number: int) -> bool:
        return f"{number:04d}.over" in self.disk.listed(f"{self.store}/stages/{folder}/rounds")

    # -- I1, I5, I6, I10 ----------------------------------------------------------------------------

    def _shards(self, what: str, folder: str, fan: str, shard: str, inside: bool) -> None:
        if inside and what in ("put", "over", "write"):
            raise Violation(f"I1: something is written into the committed {shard} of {folder}")
        if what == "over":
            raise Violation(f"I1: {shard} of {folder} was replaced")
        if what == "take" and not self.mayhem:
            raise Violation(f"I1: the committed {shard} of {folder} was removed")
        if what == "put" and not inside:
            self.commits += 1
            self.made[f"{self.store}/stages/{folder}/shards/{fan}/{shard}"] = self.site.kernel.now
            if not folder.startswith("source-"):
                self.check_shard(folder, shard)

    def _files(self, what: str, folder: str, fan: str, shard: str) -> None:
        """The files of a committed shard go and come as a whole: they go where a decision says so."""
        uses = f"{self.store}/stages/{folder}/uses"
        if what == "take" and not any(b'"use": "free"' in node.data for _, node in self.disk.below(uses)):
            raise Violation(f"I11: the files of {shard} of {folder} go, and nobody has decided that")
        if what == "over":
            raise Violation(f"I11: the files of {shard} of {folder} were replaced")

    def stats(self, folder: str, shard: str) -> dict[str, Any]:
        """`stats.json` of a committed shard."""
        node = self.disk.find(f"{self.store}/stages/{folder}/shards/{fan_of(shard)}/{shard}/stats.json")
        found: dict[str, Any] = json.loads(node.data) if node is not None else {}
        return found

    def rows(self, folder: str, shard: str, name: str = "tasks.jsonl") -> list[dict[str, Any]]:
        """Rows of a committed shard."""
        node = self.disk.find(f"{self.store}/stages/{folder}/shards/{fan_of(shard)}/{shard}/{name}")
        try:
            return decoded(node.data) if node is not None else []
        except ValueError:
            raise Violation(f"I6: {name} of {shard} of {folder} is committed, and lacks its end") from None

    def line(self, folder: str, shard: str) -> dict[str, Any] | None:
        """The line of a list that defines a shard."""
        for name, node in self.disk.below(f"{self.store}/stages/{folder}/lists"):
            if not name.startswith("."):
                for line in filter(None, node.data.splitlines()):
                    plain: dict[str, Any] = json.loads(line)
                    if plain["id"] == shard:
                        return plain
        return None

    def check_shard(self, folder: str, shard: str) -> None:
        """It is what its attempt had to make of the rows that its line names, each of which ended once."""
        stats, line = self.stats(folder, shard), self.line(folder, shard)
        if line is None:
            if self.mayhem:
                return
            raise Violation(f"I10: {shard} of {folder} is in no list")
        given, joins = list[dict[str, Any]](), folder.startswith(f"{MATCH}-")
        for stage, above, nonce, low, high in line["inputs"]:
            if self.stats(stage, above).get("nonce") != nonce:
                if self.mayhem:
                    return
                raise Violation(f"I10: {shard} of {folder} was made of {above}, which is another attempt's now")
            rows = self.rows(stage, above)[low:high]
            given += [{**row, "of": stage[len(SORT) :].partition("_")[0]} for row in rows] if joins else rows
        total = sum_of(self.disk, self.store, line["results"]) if "results" in line else 0
        self.check_rows(folder, shard, stats, given, total)

    def check_rows(
        self, folder: str, shard: str, stats: Mapping[str, Any], given: list[dict[str, Any]], total: int
    ) -> None:
        """I6 and the result; `total`: the result that the shard is for."""
        stage = folder.rpartition("-")[0]
        dead = {row["id"] for row in self.rows(folder, shard, "failed.jsonl")}
        lost = lost_with(stage, given, {row["id"] for row in given if may_fail(stage, row)})
        wrong = set() if doomed(stage, given) else dead - lost
        if wrong:
            raise Violation(f"I6: {sorted(wrong)} of {shard} of {folder} are dead letters and were healthy")
        left = [row for row in given if row["id"] not in dead]
        should = made(stage, left, stats["nonce"], total) if left or (stage == "collect" and not dead) else []
        if self.rows(folder, shard) != should:
            raise Violation(f"I2: {shard} of {folder} has {self.rows(folder, shard)}, and should have {should}")
        dropped = [row["id"] for row in self.rows(folder, shard, "dropped.jsonl")]
        letters = len(self.rows(folder, shard, "failed.jsonl"))
        ended = stats["passed"] + stats["dropped"] + stats["failed"]
        if (
            not len(given) == stats["tasks_in"] == ended
            or len(dropped) != stats["dropped"]
            or letters != stats["failed"]
        ):
            raise Violation(f"I6: {shard} of {folder} was given {len(given)} tasks and accounts for {stats}")

    def _lists(self, what: str, folder: str, name: str) -> None:
        if what == "over" or (what == "take" and not self.mayhem and self.disk.faults.links):
            raise Violation(f"I3: list {name} of {folder} was written again")
        node = self.disk.find(f"{self.store}/stages/{folder}/lists/{name}")
        if what in ("put", "write") and node is not None and node.data and name[0] != ".":
            self._new_list(folder, name, node)

    def _new_list(self, folder: str, name: str, node: Node) -> None:
        """It has another version's inputs only where that was purged, and nobody reads what was replaced long ago."""
        inputs, copies = _inputs(node), 0
        for other in self.disk.listed(f"{self.store}/stages/{folder}/lists"):
            before = self.disk.find(f"{self.store}/stages/{folder}/lists/{other}")
            same = _version(other) < _version(name) and _base(other) == _base(name) and before is not None
            if any(inputs) and same and not self.mayhem and _inputs(before) == inputs:
                copies += 1
                other_ids = self.disk.faults.links and _ids(before) != _ids(node)  # else it may have been half
                if other_ids or copies > MOST_COPIES:
                    raise Violation(
                        f"I12: {name} of {folder} is {other} again, by {self.who()}: its work is done twice"
                    )
        for stage, shard, nonce, *_ in [one for line in inputs for one in line]:
            path = f"{self.store}/stages/{stage}/shards/{fan_of(shard)}/{shard}"
            stands, known_s = self.stats(stage, shard).get("nonce", nonce), self._known_s(self.made.get(path, 0.0))
            if stands != nonce and known_s > BELIEVED_S:
                raise Violation(
                    f"I10: {name} of {folder}, by {self.who()}, reads attempt {nonce} of {shard}, "
                    f"which has been {stands} for {known_s:.0f} s"
                )

    def _known_s(self, since: float) -> float:
        """For how long whoever acts now could have seen what is true since then: it may have stood still meanwhile."""
        running = self.site.kernel.running
        if running is None or self.disk.faults.hangs:
            return 0.0
        return self.site.kernel.now - max(since, running.process.frozen_until, running.process.host.frozen_until)

    # -- I8 -----------------------------------------------------------------------------------------

    def _rounds(self, what: str, folder: str, name: str, node: Node | None) -> None:
        number, _, kind = name.partition(".")
        if kind == "cancelled":
            self.cancelled.add((folder, number))
        if kind == "job" and node is not None:
            self._recorded(name, node)
        if what == "put" and kind == "over":
            self._over(folder, number)
        if what == "put" and kind == "ticket" and int(number) > 1:
            self._next_ticket(folder, f"{int(number) - 1:04d}")

    def _recorded(self, name: str, node: Node) -> None:
        """Jobs that are written down for a round are of this store."""
        ids = [id for id in json.loads(node.data or b'{"jobs": []}')["jobs"] if ":" not in id]
        for id in ids:
            stores = {cluster.jobs[id].store for cluster in self.site.clusters.values() if id in cluster.jobs}
            if self.store not in stores:
                raise Violation(f"I8: {name} of {self.store} is said to have job {id}, which is of {stores}")

    def who(self) -> str:
        """Who acts now."""
        running = self.site.kernel.running
        return f"{running.process.label} on {running.process.host.name}" if running else "?"

    def _queued(self, job: Job) -> None:
        """A submitter that stood still for long may submit what others have given up: its workers leave by themselves."""
        waiting = [one for cluster in self.site.clusters.values() for one in cluster.jobs.values() if not one.over]
        gates = Counter(one.name.partition("-r")[0] for one in waiting if one.name.startswith("gate-"))
        if max(gates.values(), default=0) > MOST_GATES:
            raise Violation(f"I12: more than {MOST_GATES} gates of a stage are queued")
        found = re.fullmatch(r"(.+)-r(\d+)-[0-9a-f]{8}-[0-9a-f]{8}", job.name)
        if found and job.store == self.store:
            names = self.disk.listed(f"{self.store}/stages/{found[1]}/rounds")
            job.late = any(f"{int(found[2]):04d}.{kind}" in names for kind in ("job", "over"))
            running = self.site.kernel.running
            if job.late and running is not None:
                running.process.at_end.append(lambda ended: self._left_behind(ended, job, found[1], int(found[2])))

    def _left_behind(self, submitter: Process, job: Job, folder: str, number: int) -> None:
        """Who has submitted too late, and lives on, stops the jobs that nobody knows of."""
        node = self.disk.find(f"{self.store}/stages/{folder}/rounds/{number:04d}.job")
        known = node is not None and job.id.encode() in node.data
        working = any(element.process and not element.process.leaving for element in job.elements if not element.over)
        if submitter.status == 0 and working and not known:
            raise Violation(f"I8: {submitter.label} left {job.id} of round {number} of {folder} to itself")

    def _living(self, folder: str, number: str) -> list[str]:
        """Workers of a round that are queued or work, as its controller knows; those of a local one, as it is."""
        living = [
            element.id
            for cluster in self.site.clusters.values()
            for job in cluster.jobs.values()
            if job.store == self.store and job.name.startswith(f"{folder}-r{int(number)}-") and not job.late
            for element in job.elements
            if not element.over
        ]
        node = self.disk.find(f"{self.store}/stages/{folder}/rounds/{number}.job")
        try:
            local = (
                [job.split(":")[1] for job in json.loads(node.data)["jobs"] if job.startswith("local:")] if node else []
            )
        except (ValueError, KeyError):
            local = []
        processes = [p for p in self.site.kernel.processes.values() if str(p.identity.pid) in local and p.alive]
        return living + [p.label for p in processes if not p.leaving]  # a worker whose driver has died hands back

    def _over(self, folder: str, number: str) -> None:
        if living := self._in_work(folder, number):
            raise Violation(f"I8: round {number} of {folder} is declared over by {self.who()} while {living} works")

    def _next_ticket(self, folder: str, before: str) -> None:
        living = self._in_work(folder, before)
        if living and (folder, before) not in self.cancelled:
            raise Violation(f"I8: {self.who()} begins a round of {folder} while {living} of round {before} works")

    def _in_work(self, folder: str, number: str) -> str:
        """Workers of a round that nobody may take for over: a process that started some was not silent for long."""
        living = self._living(folder, number)
        beat, ticket = (f"{self.store}/stages/{folder}/rounds/{number}.{kind}" for kind in ("beat", "ticket"))
        taken = self.disk.find(ticket)
        children = taken is not None and b'"slurm"' not in taken.data and not self._seen_from_here(taken)
        silent = children and taken is not None and self.stood_still(beat, taken.written)
        return "" if silent else ", ".join(living)

    def _seen_from_here(self, ticket: Node) -> bool:
        """Whether who took a ticket lives, and who looks now can see that."""
        running, who = self.site.kernel.running, json.loads(ticket.data or b"{}").get("submitter") or {}
        owner = next((p for i, p in self.site.kernel.processes.items() if i.pid == who.get("pid")), None)
        return bool(running and owner and owner.alive and running.process.identity.host == owner.identity.host)


def _base(file: str) -> str:
    """Of the file of a list: its name without a version."""
    return base(file.removesuffix(".jsonl"))


def _version(file: str) -> int:
    """Of the file of a list."""
    return version(file.removesuffix(".jsonl"))[1]


def _ids(node: Node | None) -> set[str]:
    """Of the lines of a list."""
    return {json.loads(line)["id"] for line in (node.data if node else b"").splitlines() if line}


def _inputs(node: Node | None) -> list[list[list[Any]]]:
    """Of each line of a list, in order of their rows."""
    return sorted(json.loads(line)["inputs"] for line in (node.data if node else b"").splitlines() if line)
