"""The guard of a node's server: each worker has one, and the one that holds the node's lock keeps the server.

It is a process like a stage process, in the stage's environment and below a keeper, and a child of the supervisor: so
the server outlives stage processes that crash, and nothing outlives the worker. Another worker's guard waits for the
lock, and starts the server again once this one is gone, however it went. Python 3.9.

A server that dies or hangs is replaced at once, on another port and with another key; stage processes find it in the
folder (`node/server.py`). It is given up once it dies again and again without a good answer between.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Callable, Optional

import attrs

from hpcurate.errors import ConfigError
from hpcurate.masks import mask
from hpcurate.members import node_server_of
from hpcurate.model import get_local_dir_for_weights_name, provide_weights
from hpcurate.node.place import node_name
from hpcurate.node.server import ServerFolder, ServerState
from hpcurate.server import NodeServer, filled
from hpcurate.stage import Stage
from hpcurate.stage_process.channel import Channel, ChannelClosed
from hpcurate.stage_process.messages import Hello
from hpcurate.stage_process.raised import RAISED
from hpcurate.stage_process.server_program import ServerProgram, free_port, healthy
from hpcurate.system.processes import adopt_orphans, nonce

LOOK_S = 0.2
"""Between two looks whether the server lives, and whether the lock is free."""
CHECK_S = 5.0
"""Between two looks whether it answers, at most."""
RESTARTS = 8
"""So many deaths in a row without a good answer, of a server that was ready once, are its last."""
STARTS = 2
"""So many, of one that never was."""
PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Before the third start; each further pause is twice as long. A GPU's memory is free a moment after its owner."""
PORTS = 10
"""How often another program may have taken the port first."""


@attrs.define(frozen=True)
class End:
    """How one start of the server ended."""

    why: str
    was_ready: bool = False
    port_taken: bool = False
    hangs: bool = False
    for_good: bool = False
    """Another start would end as this one did."""


def keep_server(hello: Hello, channel: Channel, construct: Callable[..., Stage[Any, Any]]) -> None:
    """Be a guard until the supervisor hangs up."""
    adopt_orphans()  # of the server's: they hold its GPU's memory
    folder = ServerFolder(hello.worker.node_server or "")
    with suppress(ChannelClosed), folder.kept(lambda: channel.receive(LOOK_S)):
        try:
            server = node_server_of(construct(hello, secrets=True))
            if server is None:
                raise ConfigError("the stage names no node_server here")
            provide_weights(hello.weights)
            failed = Guard(server, hello, folder, channel).keep()
        except ChannelClosed:  # nobody waits for it
            raise
        except RAISED as error:
            failed = f"{type(error).__name__}: {error}"
        print(f"server: {failed}", flush=True)
        folder.write(ServerState(failed=mask(failed)))
        while True:
            channel.receive()


class Guard:
    """Starts the server again and again."""

    def __init__(self, server: NodeServer, hello: Hello, folder: ServerFolder, channel: Channel) -> None:
        self._server, self._folder, self._channel = server, folder, channel
        self._name = nonce()
        self._values = {"name": server.model, "gpus": str(len(hello.worker.gpus))}
        if server.wants_weights:
            self._values["model"] = str(get_local_dir_for_weights_name(server.model))

    def keep(self) -> str:
        """Why the server cannot be started again. Raises ChannelClosed once it is wanted no more."""
        in_a_row, taken, was_ready = 0, 0, False
        while True:
            began = time.time()
            end = self._one_start()
            answered = self._folder.last_answer() >= began
            was_ready, taken = was_ready or end.was_ready, taken + end.port_taken
            in_a_row = (0 if answered else in_a_row) + (not end.port_taken)
            if given_up(end, in_a_row, taken, was_ready):
                return f"node {node_name()}: {end.why}"
            print(f"server: {end.why}; it is started again", flush=True)
            self._wait(0.0 if end.port_taken else pause(in_a_row))

    def _wait(self, seconds: float) -> None:
        """Raises ChannelClosed."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._channel.receive(left)

    def _one_start(self) -> End:
        """Start the server, say where it is once it is ready, and watch it until it ends or hangs."""
        port, key = free_port(), nonce(16)
        words = filled(self._server.command, {**self._values, "port": str(port), "key": key})
        try:
            program = ServerProgram(words, port, key)
        except OSError as error:
            return End(f"server.command: {words[0]}: {error.strerror}, in the environment of the stage", for_good=True)
        hangs = False
        try:
            end = self._until_ready(program) or self._watch(program)
            hangs = end.hangs
            return end
        finally:
            self._folder.write(ServerState())
            program.end(hangs)

    def _until_ready(self, program: ServerProgram) -> Optional[End]:
        """None once the server, and nobody else, answers on its port."""
        began, asked = time.monotonic(), f"GET {self._server.health}"
        while time.monotonic() - began < self._server.ready_s:
            gone, owner = program.gone(), program.owner()
            if owner is False:
                return End(f"port {program.port} is another program's", port_taken=True)
            if gone:
                return End(f"the server {gone} before it answered {asked}; it printed: {program.tail()}")
            if owner and healthy(program.port, self._server.health, program.key):
                print(f"server: ready on port {program.port} after {time.monotonic() - began:.1f} s", flush=True)
                self._folder.write(ServerState(program.url, program.key, self._name))
                return None
            self._wait(LOOK_S)
        late = f"the server did not answer {asked} with 200 in {self._server.ready_s:g} s (server.ready_s)"
        return End(f"{late}; it printed: {program.tail()}", for_good=True)

    def _watch(self, program: ServerProgram) -> End:
        """Until it ends, or neither its path nor a question was answered for `quiet_s`."""
        every, quiet_s = min(CHECK_S, self._server.quiet_s / 4), self._server.quiet_s
        heard, checked = time.time(), time.monotonic()
        while not (gone := program.gone()):
            self._wait(LOOK_S)
            if time.monotonic() - checked < every:
                continue
            answers = program.owner() is not False and healthy(program.port, self._server.health, program.key, every)
            heard, checked = time.time() if answers else max(heard, self._folder.last_answer()), time.monotonic()
            if time.time() - heard > quiet_s:
                why = f"the server has answered nobody for {quiet_s:g} s (server.quiet_s)"
                return End(f"{why}; it printed: {program.tail()}", was_ready=True, hangs=True)
        return End(f"the server {gone}; it printed: {program.tail()}", was_ready=True)


def given_up(end: End, in_a_row: int, taken: int, was_ready: bool) -> bool:
    """Whether the server is not started again. Pure."""
    return end.for_good or taken >= PORTS or in_a_row >= (RESTARTS if was_ready else STARTS)


def pause(in_a_row: int) -> float:
    """Seconds before the next start, after so many deaths in a row. Pure."""
    return 0.0 if in_a_row < 2 else min(LONGEST_PAUSE_S, PAUSE_S * 2.0 ** (in_a_row - 2))
