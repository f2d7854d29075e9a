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
RECONCILE, COMMITTED, CANCEL = "runs/reconcile.py", "runs/commits_seen.py", "runs/cancel.py"
FAILURES, VERDICT = "failures.py", "verdict.py"

MUTANTS: tuple[Mutant, ...] = (
    _mutant(
        "a claim is deleted when handed back",
        Edit(
            ATTEMPTS,
            "self._store.claims.end(pick.claim, *said, peak_mb=peak_mb, seconds=seconds, begun=begun, ended=over)",
            "self._store.filesystem.discard("
            "self._store.folder.claim(pick.line.id, pick.claim.attempt), self._root.trash)",
        ),
        preempted=2,
    ),
    _mutant(
        "n+1 begins without an ending of n",
        Edit(PICKER, "trial.id in self._done or (latest and latest.ending is None):", "trial.id in self._done:"),
        workers=3,
    ),
    _mutant(
        "a lease by the clock of another",
        Edit(HEARTBEAT, 'b"%012d" % count', 'b"%012d" % int(self._clock.monotonic())'),
        Edit(CLAIMS, "return asked - since >= self._lease", 'return asked - int(counter or b"0") >= self._lease'),
        workers=3,
        nodes=3,
    ),
    _mutant(
        "a rename onto what is committed",
        Edit(
            COMMITS,
            '        failpoint("commit.before_rename")\n',
            "        for stats in attempts.values():\n"
            "            if self.stands(stats.shard):\n"
            "                self.move_away(stats.shard)\n",
        ),
        scenario="one run",
        stops=0.02,
        workers=3,
        slowest_s=400.0,
        tasks=4,
        seed=38,
    ),
    _mutant(
        "one empty listing is believed",
        Edit(SEEN, "asked) >= self._timing.ask_s:", "asked) >= 0:"),
        scenario="typed again",
        empty=0.3,
    ),
    _mutant(
        "a ticket after its sbatch",
        Edit(
            SUBMITTING,
            "        if self._run.cancelled or not self._rounds(key).take_ticket(",
            "        self._run.filesystem.make_folders(os.path.join(self._run.path, 'submissions', submission_name(*key)))\n"
            "        path = os.path.join(self._run.path, 'submissions', submission_name(*key))\n"
            "        plan.save(path, self._run.filesystem)\n"
            "        early = self._launcher.submit(Submission(plan=plan, path=path, name=name))\n"
            "        if self._run.cancelled or not self._rounds(key).take_ticket(",
        ),
        Edit(SUBMITTING, "started = self._start(submission, key, job)", "started = early"),
        scenario="in the same second",
    ),
    _mutant(
        "a round is over by a single look",
        Edit(SEEN, "SUBMITTING_S if found.ticket.queue else self._timing.lease_s", "0.0"),
        Edit(SEEN, "silent_s < patience_s", "silent_s < 0"),
        Edit(SEEN, "asked) >= self._timing.ask_s:", "asked) >= 0:"),
        scenario="in the same second",
        seed=18,
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
        seed=138,
    ),
    _mutant(
        "what says nothing counts",
        Edit(
            FAILURES,
            'nothing else is known",\n        against=Against.NOTHING',
            'nothing else is known",\n        against=Against.SHARD',
        ),
        Edit(VERDICT, " and end.ending is not Ending.DEAD]\n    blamed", "]\n    blamed"),
        stages=("collect",),
        kills=16,
        poison=0,
        fastest_s=300.0,
        slowest_s=600.0,
        seed=342,
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
            "        try:\n            return self._filesystem.claim(path, data)\n",
            "        self._filesystem.replace(path, data)\n        return True\n        try:\n            return self._filesystem.claim(path, data)\n",
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
    _mutant(
        "rounds of other live sets are compared",
        Edit(RECONCILE, 'r.number > stage.forgiven and r.lists in (stage.lists, "")', "r.number > stage.forgiven"),
        scenario="a trial",
        workers=1,
        tasks=4,
        kills=8,
        slowest_s=400.0,
        seed=73,
    ),
    _mutant(
        "a dead worker's heartbeat is believed",
        Edit(FAILURES, "    if alive is False:\n        return Ending.DEAD\n", ""),
        kills=4,
        seed=197,
    ),
    _mutant(
        "jobs are named without their store",
        Edit("planning/plan.py", "{run_digest}-{store_digest}", "{run_digest}-00000000"),
        scenario="two stores",
        seed=17,
    ),
    _mutant(
        "a commit is ours whatever the nonce",
        Edit(COMMITS, "            if standing != stats.nonce:\n                return False\n", ""),
        scenario="one run",
        stops=0.02,
        workers=3,
        slowest_s=400.0,
        tasks=4,
        seed=207,
    ),
    _mutant(
        "inputs stand whatever the nonce",
        Edit(
            "planning/standing.py",
            "return found.stage, found.shard, found.nonce",
            "return found.stage, found.shard, ''",
        ),
        Edit(
            "planning/relations.py",
            "(one.folder, s.shard, s.nonce): s.tasks_out",
            "(one.folder, s.shard, ''): s.tasks_out",
        ),
        Edit("planning/relations.py", "(part.folder, shard.shard, shard.nonce)", "(part.folder, shard.shard, '')"),
        scenario="purge",
        seed=8,
    ),
    _mutant(
        "a claim in doubt is ours whatever the nonce",
        Edit(PICKER, "doubtful.claim.attempt) == doubtful.claim", "doubtful.claim.attempt) is not None"),
        scenario="workers alone",
        workers=3,
        errors=0.1,
        tasks=6,
        slowest_s=5.0,
        seed=29,
    ),
    _mutant(
        "jobs of a cancelled round are not stopped",
        Edit(SUBMITTING, "cancelled = self._run.cancelled or found.cancelled", "cancelled = False"),
        scenario="cancel",
        stops=0.02,
        silent=0.0,
        empty=0.0,
        errors=0.0,
        full=0,
        stale_s=0.0,
        cancels=3,
        seed=132,
    ),
    _mutant(
        "what a stale listing hides of rounds is forgotten",
        Edit(ROUNDS, 'if not name.startswith(".")} | self._known | opened', 'if not name.startswith(".")}'),
        scenario="in the same second",
        stale_s=60.0,
        seed=57,
    ),
    _mutant(
        "what a stale listing hides of claims is forgotten",
        Edit(PICKER, "**{s: t for s, t in self._taken.items() if _hidden(latest.get(s), t)}", ""),
        stale_s=60.0,
    ),
    _mutant(
        "n+1 of what is committed",
        Edit(PICKER, "if latest and self._store.commits.stands(trial.id):", "if False:"),
        scenario="one run",
        stale_s=60.0,
        workers=1,
        processes=1,
        tasks=6,
        nodes=4,
        preempted=6,
        kills=0,
        host_deaths=0,
        stops=0.0,
        hangs=0.0,
        slowest_s=60.0,
        seed=38,
    ),
    _mutant(
        "a round without its gate",
        Edit(
            DRIVER,
            "                    self._watch(Watch(stage, number, jobs))\n",
            "",
        ),
        scenario="one run",
        silent=0.3,
    ),
    _mutant(
        "a gate that was lost is not replaced",
        Edit(RECONCILE, "if last.phase is Phase.ACTIVE and last.queue and last.watched is False:", "if False:"),
        scenario="typed again",
        stops=0.02,
        silent=0.0,
        empty=0.0,
        unanswered=0.0,
        errors=0.0,
        again=4,
        slowest_s=400.0,
        seed=70,
    ),
    _mutant(
        "a claim in doubt is forgotten",
        Edit(PICKER, "        pick = self._doubtful = Pick(", "        pick = Pick("),
        scenario="workers alone",
        errors=0.05,
        seed=9,
    ),
    _mutant(
        "the endings of earlier attempts are forgotten",
        Edit(
            CLAIMS,
            "return (*(before.history if before else ()), self.ending(shard, latest))",
            "return (self.ending(shard, latest),)",
        ),
        poison=3,
        shard_tasks=6,
    ),
    _mutant(
        "a worker goes on though its round is over",
        Edit(PICKER, "() if self._who.round in self._evidence.over else self._trial", "self._trial"),
        scenario="typed again",
        stops=0.0,
        unanswered=0.5,
        late_s=300.0,
        again=3,
        seed=104,
    ),
    _mutant(
        "what an attempt left is not removed",
        Edit(ATTEMPTS, "            self._store.commits.discard(self._directory(pick))\n", "            pass\n"),
        preempted=2,
    ),
    _mutant(
        "a commit is not made read-only",
        Edit(
            COMMITS,
            'self._filesystem.seal({path: partial(_record, stats) for path, stats in attempts.items()}, "stats.json")',
            "for path, stats in attempts.items():\n"
            "            data = _record(stats, self._filesystem.sizes(path))\n"
            '            self._filesystem.write_new(f"{path}/stats.json", data)',
        ),
    ),
    _mutant(
        "stats.json after the rename",
        Edit(COMMITS, '"stats.json")\n        failpoint', '"begun.json")\n        failpoint'),
        Edit(
            COMMITS,
            '        failpoint("commit.after_rename")\n',
            "        data = _record(stats, dict(stats.files))\n"
            '        self._filesystem.create(os.path.join(self._folder.shard(stats.shard), "stats.json"), data)\n',
        ),
    ),
    _mutant(
        "a round is submitted beside one of which nothing is known",
        Edit(
            RECONCILE,
            "    if last.phase is Phase.OVER:\n        return _after",
            "    if last.phase in (Phase.OVER, Phase.UNKNOWN):\n        return _after",
        ),
        silent=0.3,
        scenario="typed again",
    ),
    _mutant(
        "a counter that moves is no sign of life",
        Edit(CLAIMS, "if known is None or known[0] != counter:", "if known is None:"),
        workers=3,
        nodes=3,
        slowest_s=400.0,
        tasks=4,
    ),
    _mutant(
        "a run that is typed again stays cancelled",
        Edit("runs/start.py", "    run.unmark_cancelled()\n", ""),
        scenario="cancel",
    ),
    _mutant(
        "a cancel that believes one look",
        Edit(
            "runs/folder.py",
            "        if self.cancelled:\n            self.mark_cancelled()\n            self._remove_mark()\n",
            "",
        ),
        scenario="cancel",
        stale_s=60.0,
        cancels=8,
        again=12,
        errors=0.0,
        seed=32,
    ),
    _mutant(
        "a stage begins before the one above is complete",
        Edit(
            "runs/live.py",
            "return None if found is None or len(done) < len(found.lines) else done",
            "return None if found is None else done",
        ),
        scenario="a chain",
        errors=0.0,
        seed=25,
    ),
    _mutant(
        "a cancel ends what it could not ask about",
        Edit(CANCEL, "        if presence is Presence.ENDED:\n", "        if presence is not Presence.ALIVE:\n"),
        scenario="cancel",
        silent=0.3,
        empty=0.3,
        cancels=3,
        seed=33,
    ),
    _mutant(
        "a lease without a lease",
        Edit(CLAIMS, "return asked - since >= self._lease", "return asked - since >= 30"),
        workers=3,
        nodes=3,
        stops=0.01,
        seed=67,
    ),
    _mutant(
        "rows are not counted before the commit",
        Edit(
            "stage_process/output.py",
            "if (rows, self._size(self._path(name))) != (written.rows, written.size):",
            "if False:",
        ),
        scenario="workers alone",
        lost_rows=0.3,
    ),
    _mutant(
        "what is claimed ahead is not handed back",
        Edit(ATTEMPTS, "        if attempt is not None:\n", "        if attempt is not None and ended:\n"),
        scenario="looking ahead, wall time",
        ahead=1.0,
        stops=0.0,
        errors=0.0,
        full=0,
        lost_rows=0.0,
        links=True,
    ),
    _mutant(
        "a crash poisons the task of the shard ahead",
        Edit(VERDICT, "own = [end for end in counted if not end.shared]", "own = counted"),
        scenario="looking ahead",
        ahead=1.0,
        poison=1,
        accidents=2,
    ),
    _mutant(
        "one crash is enough to blame a task",
        Edit(VERDICT, "DEATHS_ALONE = 2", "DEATHS_ALONE = 1"),
        scenario="accidents",
    ),
    _mutant(
        "looking ahead where a culprit is sought",
        Edit("worker/next_shard.py", "self.verdict.isolate or self.verdict.exhausted", "self.verdict.exhausted"),
        scenario="looking ahead",
        ahead=1.0,
        poison=2,
        tasks=4,
        shard_tasks=2,
        seed=34,
    ),
)
