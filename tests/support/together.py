"""Many real processes that do one thing at the same moment."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any


def _wait_and_do(barrier: Any, results: Any, do: Callable[..., Any], number: int, arguments: tuple[Any, ...]) -> None:
    barrier.wait()
    results.put((number, do(number, *arguments)))


def together(do: Callable[..., Any], *arguments: Any, processes: int = 8) -> list[Any]:
    """`do(number, *arguments)` in as many forked processes, let go at once; their results by number."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_wait_and_do, args=(barrier, results, do, number, arguments))
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    found = dict(results.get(timeout=30) for _ in workers)
    for worker in workers:
        worker.join()
    return [found[number] for number in range(processes)]
