"""Ending a server from outside, and removing what is left of those that have ended."""

from __future__ import annotations

from hpcurate.runs.launcher import Queue
from hpcurate.runs.queues import queue_named
from hpcurate.serving.servers import Ended, Server, servers_of
from hpcurate.serving.standing import Standing, look
from hpcurate.store.layout import Store
from hpcurate.store.rounds import Jobs
from hpcurate.world import World

__all__ = ["cancel_server", "over", "remove_server"]

STOP_S = 10.0
"""How long a cancel waits to see it end."""
PAUSE_S = 0.2


def cancel_server(server: Server, who: str, own: Queue, world: World | None = None) -> list[str]:
    """End it. Returns what was done, for the user. `own`: the queue of the call, which is asked about its own jobs.

    That it is to end is written down first: a job that has not begun then never does, a server that runs, wherever that
    is, ends by itself within seconds. Only if it does not its job is cancelled: Slurm then ends its stage processes,
    too, at once, and with them what is in work.
    """
    world = world or World()
    found = look([server], own, world.processes)
    if not found:
        return [f"{server.name}: its folder has no server.json; it was never started"]
    before = found[0]
    if before.seen.ended is not None:
        return [f"{server.name}: had ended before: {_why(before.seen.ended)}"]
    server.ask_to_end(who)
    if before.seen.job is not None and before.seen.process is not None:
        after = _await_end(server, own, world)
        if after.seen.alive is not False and after.seen.ended is None:
            _stop(server, after, own, world)
    else:
        _stop(server, before, own, world)
    after = _await_end(server, own, world)
    if after.seen.alive is False:
        server.record_end(Ended(why="cancelled", message=f"by {who}", at=world.clock.now().timestamp()))
        server.forget_listening()
    return [_line(after, server.ended)]


def _stop(server: Server, before: Standing, own: Queue, world: World) -> None:
    """A local process gets a signal, and what it has started none."""
    job, process = before.seen.job, before.seen.process
    if job is not None:
        queue = queue_named(job.queue, own)
        if queue is not None and queue.cluster() == job.cluster:
            queue.cancel(Jobs((job.id,) if job.id else queue.find(server.name) or ()))
    elif process is not None:
        world.processes.terminate(process.identity)


def _await_end(server: Server, own: Queue, world: World) -> Standing:
    """Where it stands once it is seen to be over, or after a while. Its job may be some seconds longer in the queue."""
    deadline = world.clock.monotonic() + STOP_S
    while True:
        (now,) = look([server], own, world.processes)
        if now.seen.alive is False or now.seen.ended is not None or world.clock.monotonic() >= deadline:
            return now
        world.clock.sleep(PAUSE_S)


def _line(after: Standing, ended: Ended | None) -> str:
    if ended is not None:
        return f"{after.server.name}: {ended.why}" + ("" if ended.why == "cancelled" else f": {ended.message}")
    job = after.seen.job
    by_hand = f"scancel {job.id}" if job and job.id else f"scancel --name={after.server.name}" if job else "kill"
    where = f" on {after.seen.process.host}" if after.seen.process else ""
    return f"{after.server.name}: is asked to end{where}, and does so within seconds if it lives; else `{by_hand}`"


def _why(ended: Ended) -> str:
    return f"{ended.why}, {ended.message}" if ended.message else ended.why


# -- removing -----------------------------------------------------------------------------------------


def over(store: Store, own: Queue) -> list[Standing]:
    """One's own servers that answer no more, ever, by one look."""
    return [found for found in look(servers_of(store), own) if found.state.over]


def remove_server(store: Store, server: Server) -> None:
    """With its log, and all that was uploaded. Raises OSError."""
    server.forget_listening()
    server.filesystem.discard(server.path, store.trash)
