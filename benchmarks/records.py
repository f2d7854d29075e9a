#!/usr/bin/env python3
"""Small records a second, through everything a real run does: `benchmarks/records.py`.

In turns, of the same records on the same disk, with and without float fields:

- *bare loop* (the peer): P processes read JSONL shards, decode, change, encode and write, with msgspec alone. No row is
  checked, nothing is counted, claimed or flushed.
- *with our checks*: the same loop, where rows are written by hpcurate's codec: what the checks cost.
- *engine, warm*: `hpcurate.run` with `launcher=local` and P workers, from the first claim to the last commit: claims,
  lineage of every task, checks, what is on disk compared with what was counted, flush, rename.
- *engine, whole call*: the same run, with intake of the records, start of the workers and all.

What is not equal: the engine's workers are supervised by processes of their own on the same cores, and each shard of
theirs is flushed to the disk.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs
import msgspec
from bench_stages import Caption, CaptionNumbered, Numbered, Record
from rounds import Way, in_turns, parser, ratios, scratch, table, work_seconds

import hpcurate
from hpcurate import Stage, Task
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.store.rows import codec

PEER, WARM = "bare loop", "engine, warm"


@attrs.define(frozen=True)
class Kind:
    """A class of records, and the stage that changes them."""

    name: str
    task: type[Any]
    stage: type[Stage[Any, Any]]
    make: Callable[[int], Task]


KINDS = (
    Kind(
        "with float fields",
        Record,
        Caption,
        lambda n: Record(id=f"r{n:08d}", source=f"v{n // 50}.mp4", start_s=n * 0.5, end_s=n * 0.5 + 9),
    ),
    Kind(
        "without float fields",
        Numbered,
        CaptionNumbered,
        lambda n: Numbered(id=f"r{n:08d}", source=f"v{n // 50}.mp4", start_s=n, end_s=n + 9),
    ),
)


def bare(number: int, checked: bool, paths: Sequence[str]) -> None:
    """The loop without an engine, for that one of `KINDS`."""
    kind = KINDS[number]
    decoder, encoder, stage = msgspec.json.Decoder(kind.task), msgspec.json.Encoder(), kind.stage()
    encode = codec(kind.task).encode_block if checked else encoder.encode_lines
    for path in paths:
        tasks = stage.process(decoder.decode_lines(Path(path).read_bytes()))
        Path(f"{path}.out").write_bytes(encode(tasks))


@attrs.define
class Bench:
    """One kind of records, in a folder of its own."""

    kind: Kind
    folder: Path
    records: int
    shard: int
    processes: int
    whole: list[float] = attrs.field(factory=list)
    """Seconds of whole calls of the engine, which were measured together with the warm part."""

    def ways(self) -> dict[str, Callable[[], float]]:
        """What is measured in turns."""
        return {
            PEER: lambda: self.loop(checked=False),
            "with our checks": lambda: self.loop(checked=True),
            WARM: self.engine,
            "engine, whole call": lambda: self.whole[-1],
        }

    def given(self) -> list[Any]:
        """The records, the same every time."""
        return [self.kind.make(number) for number in range(self.records)]

    def shards(self) -> list[str]:
        """Paths of the loop's input, written once."""
        folder, encoder = self.folder / "shards", msgspec.json.Encoder()
        paths = [folder / f"{start:08d}.jsonl" for start in range(0, self.records, self.shard)]
        if not folder.is_dir():
            folder.mkdir(parents=True)
            given = self.given()
            for number, path in enumerate(paths):
                path.write_bytes(encoder.encode_lines(given[number * self.shard : (number + 1) * self.shard]))
        return [os.fspath(path) for path in paths]

    def loop(self, *, checked: bool) -> float:
        """Seconds of the loop, start of its processes included."""
        paths = self.shards()
        began = time.perf_counter()
        with get_context("fork").Pool(self.processes) as pool:
            number = KINDS.index(self.kind)  # a kind itself cannot be sent
            pool.starmap(bare, [(number, checked, paths[k :: self.processes]) for k in range(self.processes)], 1)
        return time.perf_counter() - began

    def engine(self) -> float:
        """Seconds from the first claim to the last commit; those of the whole call are kept."""
        store, given = self.folder / "store", self.given()
        resources = {"cpus": 1, "memory": "500MB", "time": "1h"}
        options = StageOptions(shard_tasks=self.shard, workers=self.processes, resources=resources)
        shutil.rmtree(store, ignore_errors=True)
        began = time.perf_counter()
        outcome = hpcurate.run({"caption": Step(self.kind.stage(), options)}, given, store=store, launcher="local")
        self.whole.append(time.perf_counter() - began)
        counts = outcome.summary["stages"]["caption"]
        assert (outcome.state.value, counts["out"]) == ("complete", len(given)), outcome.summary
        return work_seconds(store, "caption")


def measured(folder: Path, repeat: int, records: int, shard: int, processes: int) -> Iterator[tuple[Kind, list[Way]]]:
    """Each kind of records, and how long each way took."""
    for kind in KINDS:
        bench = Bench(kind, folder / kind.name.replace(" ", "-"), records, shard, processes)
        yield kind, in_turns(bench.ways(), repeat)


def quick() -> dict[str, float]:
    """Of the bare loop's speed, by what is measured: the engine warm, and the loop with our checks."""
    with scratch() as folder:
        return {
            f"{kind.name}: {name}": ratio
            for kind, ways in measured(folder, 1, 100_000, 10_000, 2)
            for name, ratio in ratios(ways[:3], PEER).items()
            if name != PEER
        }


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, quick=quick, folder=True)
    options.add_argument("--records", type=int, default=300_000, help="default: 300000")
    options.add_argument("--shard-records", type=int, default=10_000, help="records of one shard (default: 10000)")
    options.add_argument("--processes", type=int, default=2, help="processes, and workers (default: 2)")
    given = options.parse_args()
    sizes = given.records, given.shard_records, given.processes
    with scratch(given.dir) as folder:
        for kind, ways in measured(folder, given.repeat, *sizes):
            print(f"\n{sizes[0]} records {kind.name}, shards of {sizes[1]}, {sizes[2]} processes\n")
            print(table(ways, PEER))
            warm = next(way.median for way in ways if way.name == WARM)
            print(f"\n{WARM}: {sizes[0] / warm:,.0f} records a second", flush=True)


if __name__ == "__main__":
    main()
