"""What to type next, by the state of a run: a line for each command, which stands at its end. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcurate.runs.commands import Command, again, of_store, retry, verb
from hpcurate.runs.state import RunState
from hpcurate.store.trouble import MAKE_ROOM

__all__ = ["next_steps"]


def next_steps(
    run: str,
    store: str,
    command: Command,
    state: RunState,
    *,
    reason: str = "",
    overrides: Sequence[str] = (),
    failed: int = 0,
    hopeless: bool = False,
    unversioned: bool = False,
) -> str:
    """`overrides`: without these it does not help to type the command; `failed`: dead letters, which no budget allows
    where they are `hopeless`; `unversioned`: of a stage that is another one as soon as its code is edited.
    """
    why, typed = verb("why", run, store), again(command, store, *overrides)
    try_failed = [f"fix what failed, then: {retry(command, run, store)}"]
    if unversioned and command.words:
        try_failed.append(f"or, if you edited code: {verb('retry', run, store, '--keep-done')}")
    lines = {
        RunState.RUNNING: [verb("watch", run, store)],
        RunState.COMPLETE: try_failed if failed else [],
        RunState.FAILED: [why, *try_failed],
        RunState.STALLED: [why, f"fix that, then: {typed}"],
        RunState.INCOMPLETE: [typed],
        RunState.CANCELLED: [f"to continue: {typed}"],
    }[state]
    if state is RunState.STALLED and MAKE_ROOM in reason:
        lines[:1] = [f"see what can go: {of_store('clean', store)}"]
    if state is RunState.FAILED and not hopeless:
        lines.append(f"or accept {failed} failed: {again(command, store, f'budget.failed={failed}')}")
    return "\n".join(lines)
