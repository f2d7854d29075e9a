#!/usr/bin/env python3
"""Requests to a served stage beside the bare one: `benchmarks/serve.py [--requests 20] [--workers 2] [--work 0.1]`.

So many requests at once over so many workers, in turns; and the same number one after the other. Latency is from
sending a request to its whole answer, waiting for a worker included. The work is a class with `infer` that sleeps and
writes a file, so that workers do not take each other's cores.

- *bare* (the peer): the class in processes of its own, a line of JSON in and one out, nothing around it.
- *hpcurate serve*: its HTTP endpoint, `POST /run` with the token, a connection for each request; validation, queue,
  stage processes, rows and files with their checks.
- *polled, 500 ms*: as Cosmos-Gradio does it: each worker looks for a command file, and the server for its status file,
  every 500 ms.

Not equal: the bare and the polled way have no HTTP, and check nothing; of the polled way each request has one worker,
where Cosmos-Gradio gives one request to all of them. *Beyond bare* compares the first answer with the first, the second
with the second, and so on, and is the median of that: latencies are steps of the work, and the median of them falls on
one step or the next. *Beyond the work* is the median latency of one request at a time,
less what the class sleeps.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import attrs
from rounds import ENVIRONMENT, parser, scratch
from served_model import POLL_S

HERE = Path(__file__).parent
BARE, SERVED, POLLED = "bare", "hpcurate serve", "polled, 500 ms"
Ask = Callable[[Mapping[str, Any]], None]
"""Send a request and wait for its answer."""


# -- ways -------------------------------------------------------------------------------------------


@contextmanager
def bare(workers: int, folder: Path) -> Iterator[Ask]:
    """Processes with a pipe each; who asks takes one that is free."""
    with ExitStack() as stack:
        free: queue.Queue[subprocess.Popen[str]] = queue.Queue()
        for _ in range(workers):
            free.put(stack.enter_context(_program("bare", str(folder))))

        def ask(args: Mapping[str, Any]) -> None:
            process = free.get()
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps({**args, "output_dir": str(folder)}) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["prompt"] == args["prompt"]
            free.put(process)

        yield ask


@contextmanager
def polled(workers: int, folder: Path) -> Iterator[Ask]:
    """Processes that look for files, and a server side that does."""
    with ExitStack() as stack:
        free: queue.Queue[Path] = queue.Queue()
        for number in range(workers):
            place = folder / f"worker-{number}"
            place.mkdir()
            stack.enter_context(_program("polled", str(place)))
            free.put(place)

        def ask(args: Mapping[str, Any]) -> None:
            place = free.get()
            (place / "new").write_text(json.dumps({**args, "output_dir": str(place)}))
            (place / "new").rename(place / "command.json")
            while not (place / "status.json").exists():
                time.sleep(POLL_S)
            assert json.loads((place / "status.json").read_text())["prompt"] == args["prompt"]
            (place / "status.json").unlink()
            free.put(place)

        yield ask


@contextmanager
def served(workers: int, folder: Path) -> Iterator[Ask]:
    """`hpcurate serve` of the class, over HTTP."""
    words = ["served_model.Model", f"workers={workers}", "queue=1000", f"store={folder / 'store'}", "launcher=local"]
    command = [sys.executable, "-m", "hpcurate", "serve", *words]
    with _ended(subprocess.Popen(command, cwd=HERE, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout
        address = next((word for line in process.stdout for word in line.split() if "/?token=" in word), None)
        if address is None:
            raise SystemExit(f"{' '.join(command)}: ended without an address")
        base, _, token = address.partition("/?token=")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

        def ask(args: Mapping[str, Any]) -> None:
            body = json.dumps({"inputs": {"request": dict(args)}}).encode()
            request = urllib.request.Request(f"{base}/run", body, headers)
            with urllib.request.urlopen(request) as answer:
                (task,) = json.load(answer)["tasks"]
            assert task["values"]["prompt"] == args["prompt"]

        yield ask


@contextmanager
def _program(way: str, folder: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, os.fspath(HERE / "served_model.py"), way, folder]
    pipe = subprocess.PIPE
    with _ended(subprocess.Popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe, text=True)) as process:
        yield process


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


# -- rounds -----------------------------------------------------------------------------------------


@attrs.define
class Latencies:
    """Seconds of each request of a way, over all rounds."""

    rounds: list[list[float]] = attrs.field(factory=list)
    """Sent at once, in the order of their answers."""
    whole: list[float] = attrs.field(factory=list)
    """Of each round, until the last of them was answered."""
    single: list[float] = attrs.field(factory=list)
    """One after the other."""

    @property
    def together(self) -> list[float]:
        """All that were sent at once."""
        return [one for answers in self.rounds for one in answers]

    def by_place(self) -> list[float]:
        """Of the first answer of a round, the second, …: the median over rounds."""
        return [median(answers) for answers in zip(*self.rounds, strict=True)]


def timed(ask: Ask, args: Mapping[str, Any]) -> float:
    """Of one request."""
    began = time.perf_counter()
    ask(args)
    return time.perf_counter() - began


def at_once(ask: Ask, requests: Sequence[Mapping[str, Any]]) -> list[float]:
    """Of each, all of them sent in the same moment."""
    start, took = threading.Barrier(len(requests)), [0.0] * len(requests)

    def one(number: int) -> None:
        start.wait()
        took[number] = timed(ask, requests[number])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def measured(options: argparse.Namespace) -> dict[str, Latencies]:
    """All ways in turns; each has answered once before."""
    ways = {BARE: bare, SERVED: served, POLLED: polled}
    found = {name: Latencies() for name in ways}
    requests = [{"prompt": f"request {number}", "seconds": options.work} for number in range(options.requests)]
    with scratch() as folder, ExitStack() as stack:
        asks: dict[str, Ask] = {}
        for number, (name, way) in enumerate(ways.items()):
            (folder / str(number)).mkdir()
            asks[name] = stack.enter_context(way(options.workers, folder / str(number)))
            at_once(asks[name], requests[: options.workers])
        for _ in range(options.repeat):
            for name, ask in asks.items():
                took = at_once(ask, requests)
                found[name].rounds.append(sorted(took))
                found[name].whole.append(max(took))
                found[name].single += [timed(ask, one) for one in requests[: options.single]]
    return found


def table(found: Mapping[str, Latencies], work: float) -> str:
    """In milliseconds. Pure."""
    base = found[BARE].by_place()
    rows = [
        "| way | at once: median, ms | 95 % | beyond bare | all answered | one at a time: median | beyond the work |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        late = sorted(one.together)[int(0.95 * (len(one.together) - 1))]
        middle, single = median(one.together), median(one.single)
        beyond = median(ours - bare for ours, bare in zip(one.by_place(), base, strict=True))
        cells = (middle, late, beyond, median(one.whole), single, single - work)
        rows.append(f"| {name} | {' | '.join(f'{1000 * cell:.1f}' for cell in cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Print a Markdown table."""
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=20, help="sent at once (default: 20)")
    arguments.add_argument("--workers", type=int, default=2, help="of each way (default: 2)")
    arguments.add_argument("--work", type=float, default=0.1, help="seconds that a request takes (default: 0.1)")
    arguments.add_argument("--single", type=int, default=10, help="one after the other (default: 10)")
    options = arguments.parse_args()
    print(table(measured(options), options.work))


if __name__ == "__main__":
    main()
