"""Of all questions that are lost with a node's server, which one ended it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("httpx2", reason="the openai extra is not installed")

from endpoint import Asked, LocalEndpoint

from hpcurate import WorkerInfo
from hpcurate.node.server import ServerFolder, ServerState
from stages.language.asks import Ask, Generate
from stages.language.chat import ServerLost
from stages.language.endpoint import Endpoint


class Fragile:
    """A node's server, and what starts it again: one question ends it while it still works on the others."""

    def __init__(self, folder: ServerFolder) -> None:
        self._folder, self._busy, self._lock = folder, threading.Event(), threading.Lock()
        self.deaths = -1
        self._server, self._dead = LocalEndpoint(), threading.Event()
        self._server.start()
        self.replace()

    def replace(self) -> None:
        """Another one, as a guard would start it."""
        with self._lock:
            old, dead = self._server, self._dead
            self._server, self._dead = LocalEndpoint(self._answer), threading.Event()
            self._server.start()
            self._busy.clear()
            old.stop()
            dead.set()
            self.deaths += 1
            self._folder.write(ServerState(self._server.url.removesuffix("/v1"), keeper="one"))

    def _answer(self, asked: Asked) -> str:
        dead = self._dead
        if asked.text == "slow":
            self._busy.set()
            dead.wait(0.4)
        elif asked.text == "deadly":
            self._busy.wait(0.4)
            threading.Thread(target=self.replace).start()
            dead.wait()
        return f"{asked.text}."

    def stop(self) -> None:
        """The last one."""
        self._server.stop()


@pytest.fixture
def endpoints(tmp_path: Path) -> Iterator[list[Endpoint]]:
    """As two stage processes of the node have them."""
    folder = ServerFolder(str(tmp_path / "server"))
    with ExitStack() as stack:
        stack.enter_context(folder.kept(lambda: None))
        stack.callback(Fragile(folder).stop)
        made = [Endpoint("tiny", Generate(), {}, {"command": ["served", "{port}"]}) for _ in range(2)]
        for process, one in enumerate(made):
            one.start(WorkerInfo(index=0, process=process, cpus=1, node_server=folder.path))
            stack.callback(one.stop)
        yield made


def test_a_question_of_another_process_is_not_to_blame(endpoints: list[Endpoint]) -> None:
    """Which was lost each time, and was a dead letter before, too: now it is asked again alone, and so is the other."""
    first, second = endpoints
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(first.answers, [first.ready(Ask("slow"))])
        with pytest.raises(ServerLost):
            second.answers([second.ready(Ask("deadly"))])
        assert ["slow."] == [one.text for one in slow.result(30)]
