"""Small wrong changes to what is tried again, to whose it is, and to how it counts."""

from __future__ import annotations

from tests.simulation.mutants import Edit, Mutant, _mutant

LIVE, SEEN_LISTS, RETRY, RETRIES = "runs/live.py", "runs/lists_seen.py", "runs/retry.py", "planning/retries.py"

NOT_BELOW = """found = [
            self._upstream(one.folder, [n for n in self._names(one) or () if n not in self._frozen.retries.get(one.folder, ())])
            for one in above
        ]"""

RETRYING: tuple[Mutant, ...] = (
    _mutant(
        "dead letters that are tried again count twice",
        Edit("runs/state.py", "failed=sum(s.failed for s in done) - retried,", "failed=sum(s.failed for s in done),"),
        scenario="retry",
    ),
    _mutant(
        "what is tried again is input once more",
        Edit("runs/state.py", "given, done = first.sums, [*", "given = done = [*"),
        scenario="retry",
    ),
    _mutant(
        "a list of retries is not frozen",
        Edit("runs/folder.py", "for one in (*before, now):", "for one in before:"),
        Edit("runs/start.py", "    if frozen.retries:\n", "    if False:\n"),
        scenario="retry",
    ),
    _mutant(
        "a list of retries is frozen in the call alone",
        Edit("runs/folder.py", "for one in (*before, now):", "for one in (now,):"),
        Edit("runs/start.py", "    if frozen.retries:\n", "    if False:\n"),
        scenario="retry",
    ),
    _mutant(
        "every run sees the retries of a folder",
        Edit(
            LIVE,
            "for name in self._frozen.retries.get(folder, ()):",
            "for name in [n for n in self.store(folder).lists.names() if n.startswith('retry.') and '+' not in n]:",
        ),
        scenario="retry, a sweep",
        seed=31,
    ),
    _mutant(
        "retries of what was done again stay",
        Edit(SEEN_LISTS, "if is_live(first.lines, before, sizes):", "if True:"),
        scenario="retry, purge",
    ),
    _mutant(
        "retries do not know of each other",
        Edit(RETRIES, "for line in before:\n        standing.add(line)", "for line in ():\n        standing.add(line)"),
        scenario="retry",
        stages=("double",),
        shard_tasks=3,
        bugs=3,
        retries=6,
        seed=10,
    ),
    _mutant(
        "the newest ending is not looked at",
        Edit(RETRY, "        if (shard.shard, letter.row) not in retried\n", ""),
        scenario="retry",
    ),
    _mutant(
        "the order of retries is forgotten",
        Edit("runs/folder.py", "folder: tuple(names) for", "folder: tuple(sorted(names)) for"),
        scenario="retry",
        retries=6,
        seed=7,
    ),
    _mutant(
        "below nobody sees what was tried again",
        Edit(LIVE, "found = [self._upstream(one.folder, self._names(one)) for one in above]", NOT_BELOW),
        scenario="retry",
        stages=("double", "sift"),
    ),
)
