"""Small wrong changes to the protocol. Each is a mistake that somebody could make; each has to be caught.

A mutant is applied by its text: what it changes has to stand in the file just once. Where the code has moved on, the
mutant follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.define(frozen=True)
class Edit:
    """A change of one file."""

    file: str
    """Below `hpcurate/`."""
    old: str
    new: str


@attrs.define(frozen=True, kw_only=True)
class Mutant:
    """A wrong change, and where it should show."""

    name: str
    """What is wrong."""
    edits: tuple[Edit, ...]
    scenario: str
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    """Of the plan that the seed draws: what has to be so for it to show soon."""
    seed: int = 0
    """The first that is tried: one that caught it when this was written."""


def _mutant(name: str, *edits: Edit, scenario: str = "one run", seed: int = 0, **settings: Any) -> Mutant:
    return Mutant(name=name, edits=edits, scenario=scenario, seed=seed, settings=settings)


CLAIMS, COMMITS, ROUNDS, LISTS = "store/claims.py", "store/commits.py", "store/rounds.py", "store/lists.py"
PICKER, ATTEMPTS, HEARTBEAT = "worker/picker.py", "worker/attempts.py", "worker/heartbeat.py"
SEEN, BEATS, DRIVER, SUBMITTING = "runs/rounds_seen.py", "runs/beats.py", "runs/driver.py", "runs/submitting.py"
RECONCILE, COMMITTED, FAILURES, CANCEL = "runs/reconcile.py", "runs/commits_seen.py", "failures.py", "runs/cancel.py"

MUTANTS: tuple[Mutant, ...] = (
    _mutant(
        "a claim is deleted when handed back",
        Edit(
            ATTEMPTS,
            "self._store.claims.end(pick.claim, ended.ending, ended.detail[:2000], ended.in_flight[:100])",
            "self._store.filesystem.discard("
            "self._store.folder.claim(pick.line.id, pick.claim.attempt), self._root.trash)",
        ),
        preempted=2,
    ),
    _mutant(
        "n+1 begins without an ending of n",
        Edit(PICKER, "line.id in self._done or (latest and latest.ending is None) or", "line.id in self._done or"),
        workers=3,
    ),
    _mutant(
        "a lease by the clock of another",
        Edit(HEARTBEAT, 'b"%012d\\n" % count', 'b"%012d\\n" % int(self._clock.monotonic())'),
        Edit(CLAIMS, "return now - since >= self._lease", 'return now - int(counter or b"0") >= self._lease'),
        workers=3,
        nodes=3,
    ),
    _mutant(
        "a rename onto what is committed",
        Edit(
            COMMITS,
            '        failpoint("commit.before_rename")\n',
            "        if self.stands(stats.shard):\n            self.move_away(stats.shard)\n",
        ),
        stops=0.01,
    ),
    _mutant(
        "one empty listing is believed",
        Edit(SEEN, "asked) >= NEGATIVE_S:", "asked) >= 0:"),
        scenario="typed again",
        empty=0.3,
    ),
    _mutant(
        "a ticket after its sbatch",
        Edit(
            SUBMITTING,
            "        if self._run.cancelled or not self._rounds(key).take_ticket(",
            "        name = self._ticket(action, view).name\n"
            "        path = os.path.join(self._run.path, 'submissions', submission_name(*key))\n"
            "        plan.save(path, self._run.filesystem)\n"
            "        early = self._launcher.submit(Submission(plan=plan, path=path, name=name))\n"
            "        if self._run.cancelled or not self._rounds(key).take_ticket(",
        ),
        Edit(SUBMITTING, "started = self._start(submission, key)", "started = early"),
        scenario="in the same second",
    ),
    _mutant(
        "a round is over by a single look",
        Edit(SEEN, "SUBMITTING_S if found.ticket.queue else self._lease_s", "0.0"),
        Edit(SEEN, "silent_s < patience_s", "silent_s < 0"),
        Edit(SEEN, "asked) >= NEGATIVE_S:", "asked) >= 0:"),
        scenario="in the same second",
    ),
    _mutant(
        "no answer counts as the end",
        Edit(
            SEEN,
            "        if presence is Presence.UNKNOWN:\n            return self._silent(queue, jobs)\n",
            "        if presence is Presence.UNKNOWN:\n            return Seen(Phase.OVER, jobs=jobs)\n",
        ),
        scenario="typed again",
        silent=0.3,
    ),
    _mutant(
        "a foreign controller is believed",
        Edit(SEEN, "if answers != ticket.cluster and ticket.cluster:", "if False:"),
        scenario="typed again",
        foreign=True,
    ),
    _mutant(
        "what says nothing counts",
        Edit(FAILURES, "Ending.LOST: Against.NOTHING", "Ending.LOST: Against.SHARD"),
        Edit(FAILURES, "Ending.DEAD: Against.TASK", "Ending.DEAD: Against.SHARD"),
        kills=12,
        tasks=1,
        slowest_s=400.0,
        again=3,
        workers=2,
        seed=278,
    ),
    _mutant(
        "a list is written again",
        Edit(
            LISTS,
            "self._filesystem.create(self._folder.list_file(name), data)",
            "self._filesystem.replace(self._folder.list_file(name), data)",
        ),
        scenario="in the same second",
    ),
    _mutant(
        "a claim that is not exclusive",
        Edit(
            CLAIMS,
            "        try:\n            return self._filesystem.create(path, data)\n",
            "        self._filesystem.replace(path, data)\n        return True\n        try:\n            return self._filesystem.create(path, data)\n",
        ),
        workers=3,
    ),
    _mutant(
        "a ticket that is not exclusive",
        Edit(
            ROUNDS,
            "        won = self._filesystem.create(self._path(number, kind), data)\n",
            "        self._filesystem.replace(self._path(number, kind), data)\n        won = True\n",
        ),
        scenario="in the same second",
    ),
)
