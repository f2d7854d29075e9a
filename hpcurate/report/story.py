"""The story of a task: what became of it in each stage, and the stories of what was made of it. Frozen values."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

import attrs
import msgspec

from hpcurate.failures import DeadLetter
from hpcurate.report.logs import ShardLog
from hpcurate.store.dropped import DroppedRow, LeftOutRow


class Became(str, enum.Enum):
    """What became of a task in a stage."""

    PASSED = "passed on"
    MADE = "made"
    """Other tasks were made of it, and at least one of them was passed on."""
    DROPPED = "dropped"
    NOT_RETURNED = "not returned"
    """Neither passed on nor dropped with a reason."""
    FAILED = "failed"
    """A dead letter."""
    WAITS = "waits"
    """The stage has not finished with it, or not begun."""
    UNKNOWN = "unknown"
    """Its shard is damaged, or no row names it."""


@attrs.define(frozen=True, kw_only=True)
class Step:
    """What became of a task in one stage."""

    stage: str
    became: Became
    shard: str = ""
    """Empty where it is in none yet."""
    member: str = ""
    """Of a chain, that dropped it or failed."""
    reason: str = ""
    """Why it was dropped, how it failed, what it waits for, or what is damaged."""
    values: dict[str, Any] = attrs.field(factory=dict)
    """What the stage has set, and its value by then."""
    drop: DroppedRow | None = None
    """Its row where it was dropped: with what was measured and what it had to meet, if the stage says that."""
    parameters: dict[str, Any] = attrs.field(factory=dict)
    """Of the stage that dropped it, or of the member of the chain, as they were given."""
    left_out: tuple[LeftOutRow, ...] = ()
    """What the stage left out of it, and never made a task of."""
    letter: DeadLetter | None = None
    retried: bool = False
    """A dead letter that was tried again: the next step is what became of it then."""
    made: tuple[Story, ...] = ()
    """Of the tasks made of it, those that are told."""
    untold: int = 0
    """So many more were made of it."""
    log: ShardLog | None = None

    def plain(self) -> dict[str, Any]:
        """For `--json`."""
        made = {"made": [one.plain() for one in self.made]} if self.made else {}
        log = {"log": f"{self.log.path}:{self.log.line}", "log_lines": self.log.mentions} if self.log else {}
        known = {
            "shard": self.shard,
            "member": self.member,
            "reason": self.reason,
            "values": self.values,
            "measure": self.drop.measure if self.drop else "",
            "value": self.drop.value if self.drop else None,
            "threshold": self.drop.threshold if self.drop else None,
            "parameters": self.parameters,
            "left_out": [{"reason": o.reason, "count": o.count, "amounts": o.amounts} for o in self.left_out],
            "letter": msgspec.to_builtins(self.letter) if self.letter else None,
            "retried": self.retried,
            "untold": self.untold,
        }
        said = {key: value for key, value in known.items() if value or (value == 0.0 and value is not False)}
        return {"stage": self.stage, "became": self.became.value, **said, **log, **made}


@attrs.define(frozen=True, kw_only=True)
class Story:
    """A task and what became of it."""

    id: str
    name: str
    """What a user calls it: its name in the input, else its id."""
    first: dict[str, Any]
    """Its row as it was first: taken in, or made."""
    task: dict[str, Any]
    """The same as it was last."""
    values: dict[str, Any] = attrs.field(factory=dict)
    """Of what was made of another task: in what it differs from that."""
    steps: tuple[Step, ...] = ()
    files: tuple[str, ...] = ()
    """That its row names, in the store."""
    gone: tuple[str, ...] = ()
    """Those of them that are no longer there."""
    outputs: tuple[str, ...] = ()
    """That are named by it in the output folder."""

    @property
    def end(self) -> Step | None:
        """The last step of it; None where no stage reads the tasks of the one that made it."""
        return self.steps[-1] if self.steps else None

    def stories(self) -> Iterator[Story]:
        """It, and all that were made of it."""
        yield self
        for step in self.steps:
            for story in step.made:
                yield from story.stories()

    def plain(self) -> dict[str, Any]:
        """For `--json`."""
        steps = [step.plain() for step in self.steps]
        files = {"files": list(self.files), "gone": list(self.gone), "outputs": list(self.outputs)}
        return {"id": self.id, "name": self.name, "first": self.first, "task": self.task, **files, "steps": steps}
