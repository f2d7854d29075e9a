"""Turns: the shards of one worker run side by side, but for one that has to run alone."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from hpcurate.system.clock import SystemClock
from hpcurate.worker.turns import Turns


def test_who_runs_alone_has_nobody_beside_it() -> None:
    """Forty shards, a third of them alone, on eight slots; all get their turn."""
    turns, lock = Turns(SystemClock()), threading.Lock()
    running: list[bool] = []
    beside: list[list[bool]] = []

    def shard(alone: bool) -> bool:
        with turns.turn(alone=alone, leaving=lambda: False) as begun:
            with lock:
                running.append(alone)
                beside.append(list(running))
            time.sleep(0.002)
            with lock:
                running.remove(alone)
        return begun

    kinds = [number % 3 == 0 for number in range(40)]
    random.shuffle(kinds)
    with ThreadPoolExecutor(8) as pool:
        assert [True] * 40 == list(pool.map(shard, kinds))
    assert [[True]] * sum(kinds) == [seen for seen in beside if True in seen]


def test_a_worker_that_is_to_leave_waits_for_no_turn() -> None:
    """It hands the shard back."""
    turns = Turns(SystemClock())
    with turns.turn(alone=True, leaving=lambda: False), turns.turn(alone=False, leaving=lambda: True) as begun:
        assert begun is False


def test_a_turn_ends_with_whatever_was_raised() -> None:
    """The next one does not wait for ever."""
    turns = Turns(SystemClock())
    for _ in range(2):
        try:
            with turns.turn(alone=True, leaving=lambda: False):
                raise ValueError
        except ValueError:
            pass
