"""What came of a campaign, as a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import attrs

from tests.campaign.faults import Fault


@attrs.define(frozen=True, kw_only=True)
class Glance:
    """Where a run stands."""

    at_s: float
    """Seconds since it was begun."""
    share: float
    """Of its shards that are committed."""
    rounds: int
    attempts: int
    typed: int
    """How often the command was typed."""


@attrs.define(frozen=True, kw_only=True)
class Hit:
    """A fault that happened, and how things stood."""

    fault: Fault
    what: str
    """What was hit."""
    glance: Glance
    task: str = ""
    """Whose work it was, where that is known."""


@attrs.define(frozen=True, kw_only=True)
class Played:
    """A run that is over."""

    pipeline: str
    launcher: str = "slurm"
    seed: int
    shards: int
    usual_s: float
    """What the undisturbed run took."""
    usual_rounds: int
    hits: tuple[Hit, ...]
    end: Glance
    missed: int
    """Faults that found nothing to hit."""
    ghosts: int = 0
    """Jobs that Slurm listed to the end though they had ended: its controller died before it wrote that down."""
    letters: tuple[str, ...]
    """Dead letters that the policy asks for."""
    wrong: tuple[str, ...]
    """What should not be; empty: all is well."""

    @property
    def replay(self) -> str:
        """The command that does about the same again: what is hit depends on the moment."""
        words = f"--faults {len(self.hits)} --seed {self.seed} --pipeline {self.pipeline}"
        return f"python -m tests.campaign {words}{'' if self.launcher == 'slurm' else f' --launcher {self.launcher}'}"


@attrs.define(frozen=True, kw_only=True)
class After:
    """What happened between a fault and the next one of its run."""

    rounds: int
    attempts: int
    typed: int
    lost_s: float


def after(run: Played) -> list[tuple[Fault, After]]:
    """Of each fault of a run: what came before the next one is put down to it."""
    hits = sorted(run.hits, key=lambda hit: hit.glance.at_s)
    ends = [*(hit.glance for hit in hits[1:]), run.end]
    return [(hit.fault, _between(hit.glance, end, run.usual_s)) for hit, end in zip(hits, ends, strict=False)]


def _between(a: Glance, b: Glance, usual_s: float) -> After:
    return After(
        rounds=b.rounds - a.rounds,
        attempts=b.attempts - a.attempts,
        typed=b.typed - a.typed,
        lost_s=(b.at_s - a.at_s) - (b.share - a.share) * usual_s,
    )


HEAD = ("fault", "number", "new rounds", "new attempts", "typed again", "seconds lost", "median", "most")


def table(runs: Sequence[Played]) -> str:
    """All of them: a row for each kind of fault, the sum, and a line for each run."""
    found = [one for run in runs for one in after(run)]
    rows = [_row(fault.value, [a for kind, a in found if kind is fault]) for fault in Fault]
    rows = [row for row in rows if row[1] != "0"]
    total = _row("all", [a for _, a in found])
    return "\n".join([*_aligned([HEAD, *rows, total]), "", *_aligned([RUN_HEAD, *map(_of_run, runs)]), "", sums(runs)])


def _row(name: str, those: list[After]) -> tuple[str, ...]:
    lost = [one.lost_s for one in those] or [0.0]
    counts = (sum(o.rounds for o in those), sum(o.attempts for o in those), sum(o.typed for o in those))
    return (name, str(len(those)), *map(str, counts), *(f"{s:.0f}" for s in (sum(lost), median(lost), max(lost))))


RUN_HEAD = ("run", "faults", "shards", "rounds", "attempts", "typed", "seconds", "undisturbed", "result")


def _of_run(run: Played) -> tuple[str, ...]:
    end = run.end
    counts = (len(run.hits), run.shards, end.rounds, end.attempts, end.typed)
    result = "WRONG" if run.wrong else f"{len(run.letters)} dead letters" if run.letters else "the same tree"
    seconds = (f"{end.at_s:.0f}", f"{run.usual_s:.0f}")
    return (f"{run.pipeline} {run.seed}", *map(str, counts), *seconds, result)


def sums(runs: Iterable[Played]) -> str:
    """One line: how many of everything."""
    runs = list(runs)
    faults = sum(len(run.hits) for run in runs)
    again = sum(run.end.typed - 1 for run in runs)
    lost = sum(run.end.at_s - run.usual_s for run in runs)
    same = sum(not (run.wrong or run.letters) for run in runs)
    return (
        f"{len(runs)} runs, {faults} faults: {same} with the tree of the undisturbed run, "
        f"{sum(bool(run.letters) and not run.wrong for run in runs)} with exactly the dead letters of the policy, "
        f"{sum(bool(run.wrong) for run in runs)} wrong; the command was typed again {again} times, "
        f"{lost:.0f} s were lost ({lost / max(faults, 1):.1f} s a fault), {sum(r.missed for r in runs)} faults missed, "
        f"{sum(r.ghosts for r in runs)} jobs whose end Slurm forgot"
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
