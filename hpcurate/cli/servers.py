"""What is printed of servers: while one is waited for, once it listens, in a list, and when they end."""

from __future__ import annotations

import datetime
import os
import shlex
import time
from collections.abc import Sequence

from hpcurate.cli.terminal import say, say_error, show, show_json, state, table
from hpcurate.cli.text import styled
from hpcurate.report.queue import describe
from hpcurate.report.times import local
from hpcurate.runs.folder import run_names
from hpcurate.runs.launcher import Launcher, NoQueue, Queue
from hpcurate.serving.awaited import NeverListened, wait_until_ready
from hpcurate.serving.ending import cancel_server, over, remove_server
from hpcurate.serving.servers import Listening, Server, ServerProcess, find_server, servers_of
from hpcurate.serving.standing import Standing, State, look
from hpcurate.serving.tunnel import Way, free_port, full_name, own_name, tunnel_command, url_of
from hpcurate.store.layout import Store
from hpcurate.units import duration

__all__ = [
    "await_server", "cancel_lines", "list_servers", "over_names", "ready_lines", "remove_over", "server_lines",
    "server_meant", "way_to",
]  # fmt: skip

HEADER = ("server", "what", "state", "where", "since", "ends")
INTERRUPTED = 130


# -- one that was submitted ---------------------------------------------------------------------------


def await_server(server: Server, launcher: Launcher, login: str | None) -> int:
    """Wait until it listens, and print how to reach it; the exit status. `login`: the site's login host, if it is set.

    Ctrl-C ends the waiting, not the server.
    """
    try:
        if server.listening is None:
            say(f"{server.name}: submitted; Ctrl-C ends this waiting and leaves it queued")
        ready = wait_until_ready(server, launcher.queue, say)
    except NeverListened as error:
        say_error(str(error))
        return 1
    except KeyboardInterrupt:
        show(left_lines(server))
        return INTERRUPTED
    show(ready_lines(server, way_to(launcher, ready.process, ready.listening, login), ready.listening, ready.process))
    return 0


def way_to(launcher: Launcher, process: ServerProcess | None, listening: Listening, login: str | None) -> Way:
    """From a user's own machine to a server of this launcher's."""
    node = "" if process is None else process.node or process.host
    reached = launcher.services.address(node) if launcher.services is not None and node else node
    port = free_port(listening.port)
    return Way(login=login or full_name(), node=reached, user=own_name(), port=port)


def ready_lines(server: Server, way: Way, listening: Listening, process: ServerProcess | None) -> list[str]:
    """How to reach it, how long, how to look at it and how to end it. Pure but for this machine's zone."""
    spec = server.spec
    on = f" on {process.node or process.host}" if process else ""
    return [
        styled(server.name, "heading") + f": {spec.what}: ready{on}",
        "type on your own machine:",
        "  " + styled(tunnel_command(way, listening), "command"),
        "then open there:",
        "  " + styled(url_of(way.port, listening), "command"),
        *_until(process, spec.idle_s),
        *_what_to_type(server),
    ]


def left_lines(server: Server) -> list[str]:
    """After Ctrl-C. Pure."""
    return [
        styled(server.name, "heading") + ": stays queued, and listens once it begins",
        *_what_to_type(server),
    ]


def _what_to_type(server: Server) -> list[str]:
    where = shlex.quote(f"store={os.path.dirname(os.path.dirname(server.path))}")
    return [
        "look: " + styled(f"hpcurate serve --list {where}", "command"),
        "end:  " + styled(f"hpcurate cancel {server.name} {where}", "command"),
    ]


def _until(process: ServerProcess | None, idle_s: float | None) -> list[str]:
    ends = [] if process is None or process.until is None else [f"at {_local(process.until)}, with its job"]
    ends += [] if idle_s is None else [f"after {duration(idle_s)} without a request"]
    return [f"ends {' or '.join(ends)}"] if ends else []


# -- a list -------------------------------------------------------------------------------------------


def list_servers(store: Store, *, json: bool = False, queue: Queue | None = None) -> int:
    """Print one's own servers; the exit status. `queue`: of the call's launcher, where that is none of ours."""
    found = look(servers_of(store), queue)
    if json:
        show_json([plain(one) for one in found])
    else:
        show(server_lines(found, datetime.datetime.now(datetime.UTC)))
    return 0


def server_lines(found: Sequence[Standing], now: datetime.datetime) -> list[str]:
    """A line for each, the oldest first. Pure but for this machine's zone."""
    if not found:
        return ["no servers; `hpcurate serve +pipeline=NAME` starts one"]
    return table(HEADER, (_row(one, now) for one in found), whole=True)


def _row(one: Standing, now: datetime.datetime) -> tuple[str, ...]:
    seen, spec = one.seen, one.spec
    since = seen.process.began if seen.process else spec.made
    return (one.server.name, spec.what, _state(one), _where(one), _local(since, now), _ends(one, now))


def _state(one: Standing) -> str:
    return state(seen.why if (seen := one.seen.ended) else one.state.value)


def _where(one: Standing) -> str:
    seen = one.seen
    if one.state is State.QUEUED:
        return describe(seen.row) if seen.row else "queued"
    if seen.process is None:
        return ""
    port = f":{seen.listening.port}" if seen.listening and not one.state.over else ""
    return (seen.process.node or seen.process.host) + port


def _ends(one: Standing, now: datetime.datetime) -> str:
    if one.seen.ended is not None:
        return _local(one.seen.ended.at, now)
    if one.state.over:
        return ""
    until = one.seen.process.until if one.seen.process else None
    ends = [] if until is None else [_local(until, now)]
    ends += [] if one.spec.idle_s is None else [f"{duration(one.spec.idle_s)} idle"]
    return " or ".join(ends)


def plain(one: Standing) -> dict[str, object]:
    """What `--json` prints of one: without its token."""
    seen = one.seen
    return {
        "name": one.server.name,
        "what": one.spec.what,
        "state": one.state.value,
        "why": seen.ended.why if seen.ended else None,
        "message": seen.ended.message if seen.ended else None,
        "job": seen.job.id if seen.job else None,
        "node": (seen.process.node or seen.process.host) if seen.process else None,
        "port": seen.listening.port if seen.listening and not one.state.over else None,
        "began": seen.process.began if seen.process else None,
        "until": seen.process.until if seen.process else None,
        "ended": seen.ended.at if seen.ended else None,
        "folder": one.server.path,
    }


def _local(at: float, now: datetime.datetime | None = None) -> str:
    return local(datetime.datetime.fromtimestamp(at, datetime.UTC), now or datetime.datetime.now(datetime.UTC))


# -- their end ----------------------------------------------------------------------------------------


def server_meant(store: Store, wanted: str | None) -> Server | None:
    """The server that `hpcurate cancel WANTED` means; None if it means a run. A part of a name may be of either: then
    it is the run's. Raises StoreError.
    """
    if wanted is None:
        return None
    wanted = os.path.basename(wanted.rstrip("/"))
    is_runs = any(wanted in name for name in run_names(store))
    exact = wanted in {one.name for one in servers_of(store)}
    return find_server(store, wanted) if exact or not is_runs else None


def cancel_lines(server: Server) -> list[str]:
    """End it; what was done."""
    return cancel_server(server, f"{own_name() or os.getuid()} on {full_name()}", NoQueue())


def over_names(store: Store) -> list[str]:
    """Names of one's own servers that have ended."""
    return [one.server.name for one in over(store, NoQueue())]


def remove_over(store: Store, wait_s: float) -> list[str]:
    """Remove what is left of servers that have ended; their names. One that could not say so is looked at twice."""
    first = over(store, NoQueue())
    if any(one.state is State.LOST for one in first) and wait_s:
        say(f"looking a second time at servers in {wait_s:.0f} s")
        time.sleep(wait_s)
    lost = {one.server.name for one in first if one.state is State.LOST}
    gone = [one.server for one in over(store, NoQueue()) if one.seen.ended or one.server.name in lost]
    for server in gone:
        remove_server(store, server)
    return [server.name for server in gone]
