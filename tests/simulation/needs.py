"""Small wrong changes to what a shard needs, and to who takes it: memory and time."""

from __future__ import annotations

from typing import Any

from tests.simulation.mutants import ATTEMPTS, FAILURES, PICKER, VERDICT, Edit, Mutant, _mutant

CALM: dict[str, Any] = {
    "silent": 0.0, "empty": 0.0, "unanswered": 0.0, "refused": 0.0, "errors": 0.0, "hangs": 0.0, "stops": 0.0, "full": 0,
    "stale_s": 0.0, "lost_rows": 0.0, "links": True, "preempted": 0, "foreign": False,
}  # fmt: skip
"""Nothing hides what is known."""

NEEDS: tuple[Mutant, ...] = (
    _mutant(
        "a worker takes what needs more than it has",
        Edit(PICKER, "room.takes(trial.weight, verdict.needs, at_last=at_last)", "True"),
        scenario="hungry",
        **CALM,
    ),
    _mutant(
        "what a worker had is not recorded",
        Edit(PICKER, "memory_mb=self._who.memory_mb,", ""),
        scenario="hungry",
        hungry=4,
        **CALM,
    ),
    _mutant(
        "a death is blamed before the scheduler can say why",
        Edit(PICKER, "return takes and not self._evidence.awaits_word(trial.id, history)", "return takes"),
        scenario="hungry",
        workers=6,
        nodes=1,
        tasks=6,
        hungry=2,
        **CALM,
        seed=12,
    ),
    _mutant(
        "how long it was in work is not recorded",
        Edit(ATTEMPTS, "seconds = round(lasted, 3)", "seconds = 0.0"),
        scenario="more time",
        fastest_s=320.0,
    ),
    _mutant(
        "who is out of time hands back",
        Edit("worker/deadline.py", "if left_s <= max(HAND_BACK_S, drain_s / 4):", "if False:"),
        scenario="more time",
        fastest_s=320.0,
    ),
    _mutant(
        "the end of the time blames tasks",
        Edit(FAILURES, "against=Against.ROUND", "against=Against.SHARD"),
        Edit(
            VERDICT,
            "_named(own, Ending.CRASH, Ending.DEAD)",
            "_named(own, Ending.CRASH, Ending.DEAD, Ending.WALLTIME)",
        ),
        scenario="more time",
        fastest_s=320.0,
    ),
    _mutant(
        "nobody tries what may not fit",
        Edit(
            "worker/deadline.py", "return wanted <= self.left or (at_last and self.fresh)", "return wanted <= self.left"
        ),
        scenario="more time",
        fastest_s=320.0,
        seed=17,
    ),
)
