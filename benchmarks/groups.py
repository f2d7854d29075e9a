#!/usr/bin/env python3
"""Group-by of records through a real run, beside a pipeline around `sort`: `benchmarks/groups.py`.

In turns, of the same records on the same disk:

- *sort* (the peer): a Python process writes `key<TAB>record` of all files into `sort --parallel`, another reads what
  comes out, decodes the records of each key, counts them, and writes a row for each. No row is checked, nothing is
  counted, claimed or flushed.
- *engine*: `hpcurate.run` with `launcher=local`, from the first claim of the sort step to the last commit of the group
  stage: rows sorted by shard, ranges of hashes read from all of them, a group a call, rows checked, shards committed.

With `--heavy` a third of all records have one key. What each key's count is, is compared with a dict's. Then one more
file of input comes, with few keys: how many ranges are done again, and how long that takes. The engine's peak of
memory is that of a stage process, as it wrote it down.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import msgspec
from bench_stages import Counted, CountKeys, Keyed
from rounds import Command, Way, in_turns, last_commit, parser, ratios, scratch, table

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions

PEER, ENGINE = "sort", "engine"
NEW_KEYS = 10
"""Of the file that comes later."""


@attrs.define(frozen=True)
class Files(hpcurate.Source):
    """JSONL files of records, each a shard."""

    folder: str

    task_type = Keyed

    def identity(self) -> dict[str, str]:
        """Its folder."""
        return {"folder": self.folder}

    def tasks(self) -> Iterator[Keyed]:
        """All records, in order."""
        decoder = msgspec.json.Decoder(Keyed)
        for path in sorted(Path(self.folder).glob("*.jsonl")):
            yield from decoder.decode_lines(path.read_bytes())


def label(number: int, keys: int, heavy: bool) -> str:
    """The key of a record."""
    return "k0" if heavy and number % 3 == 0 else f"k{number * 7919 % keys}"


@attrs.define
class Bench:
    """One size, in a folder of its own."""

    folder: Path
    records: int
    keys: int
    files: int
    processes: int
    heavy: bool
    peak_mb: float = 0.0

    def make(self) -> None:
        """The records."""
        encoder, per_file = msgspec.json.Encoder(), self.records // self.files
        (self.folder / "input").mkdir(parents=True)
        for first in range(0, self.records, per_file):
            rows = [
                Keyed(id=f"r{n:08d}", label=label(n, self.keys, self.heavy), source=f"v{n // 50}.mp4", start_s=n * 0.5)
                for n in range(first, min(first + per_file, self.records))
            ]
            (self.folder / "input" / f"{first:08d}.jsonl").write_bytes(encoder.encode_lines(rows))

    def sorted(self) -> Command:
        """The peer, in a shell's place: three processes and two pipes."""
        return Command([sys.executable, __file__, "--peer", str(self.folder), str(self.processes)])

    def engine(self) -> float:
        """Seconds of the sort step and the group stage."""
        shutil.rmtree(self.folder / "store", ignore_errors=True)
        self.run()
        return self.seconds()

    def run(self) -> None:
        """The run's command."""
        resources = {"cpus": 1, "memory": "1GB", "time": "1h"}
        options = StageOptions(workers=self.processes, resources=resources)
        steps = {"count": Step(CountKeys(), options)}
        outcome = hpcurate.run(steps, Files(os.fspath(self.folder / "input")), store=self.store, launcher="local")
        assert outcome.state.value == "complete", outcome.summary

    @property
    def store(self) -> Path:
        """Where the engine works."""
        return self.folder / "store"

    def seconds(self) -> float:
        """From the first claim of the sort step."""
        claims = [path.stat().st_mtime for path in self.store.glob("stages/sort_*/claims/*/[!.]*")]
        stats = (json.loads(path.read_bytes()) for path in self.store.glob("stages/*/shards/*/*/stats.json"))
        self.peak_mb = max(one.get("peak_memory_mb", 0.0) for one in stats)
        return last_commit(self.store, "count") - min(claims)

    def counts(self) -> Counter[str]:
        """What the latest run of the engine counted: of the list that it made last."""
        newest = max(self.store.glob("stages/count-*/lists/*.jsonl"), key=os.path.getmtime)
        found: Counter[str] = Counter()
        for line in newest.read_bytes().splitlines():
            (path,) = self.store.glob(f"stages/count-*/shards/*/{json.loads(line)['id']}/tasks.jsonl")
            for one in msgspec.json.Decoder(Counted).decode_lines(path.read_bytes()):
                assert one.label not in found, one.label
                found[one.label] = one.count
        return found

    def expected(self) -> Counter[str]:
        """By a dict."""
        return Counter(one.label for one in Files(os.fspath(self.folder / "input")).tasks())

    def shards(self) -> set[str]:
        """Committed shards of the group stage."""
        return {path.name for path in self.store.glob("stages/count-*/shards/*/[!.]*")}

    def grow(self) -> tuple[int, int, float]:
        """One more file: (ranges done again, all ranges, seconds of the whole call)."""
        rows = [Keyed(id=f"x{n:08d}", label=f"k{n % NEW_KEYS}", source="x.mp4", start_s=0.0) for n in range(1000)]
        (self.folder / "input" / "x.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(rows))
        before, began = self.shards(), time.perf_counter()
        self.run()
        return len(self.shards() - before), len(before), time.perf_counter() - began


def peer(folder: Path, processes: int) -> None:
    """Records by key through `sort`."""
    import subprocess

    environment = {**os.environ, "LC_ALL": "C"}
    words = ["sort", "-t", "\t", "-k1,1", "-s", f"--parallel={processes}", "-S", "512M"]
    sorter = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert sorter.stdin is not None
    assert sorter.stdout is not None
    if not os.fork():
        os.close(sorter.stdout.fileno())
        key = msgspec.json.Decoder(msgspec.defstruct("Key", [("label", str)]))
        for path in sorted((folder / "input").glob("*.jsonl")):
            data = path.read_bytes()
            lines = zip(key.decode_lines(data), data.splitlines(keepends=True), strict=True)
            sorter.stdin.write(b"".join(b"%s\t%s" % (one.label.encode(), line) for one, line in lines))
        sorter.stdin.close()
        os._exit(0)
    sorter.stdin.close()
    decoder, encoder = msgspec.json.Decoder(Keyed), msgspec.json.Encoder()
    with open(folder / "sorted.jsonl", "wb") as out:
        last, tasks = b"", list[Keyed]()
        for line in sorter.stdout:
            name, _, row = line.partition(b"\t")
            if name != last and tasks:
                out.write(encoder.encode(Counted(id=tasks[0].label, label=tasks[0].label, count=len(tasks))) + b"\n")
                tasks = []
            last = name
            tasks.append(decoder.decode(row))
        out.write(encoder.encode(Counted(id=tasks[0].label, label=tasks[0].label, count=len(tasks))) + b"\n")
    os.wait()


def measured(bench: Bench, repeat: int) -> list[Way]:
    """Both ways; what the engine counts is right."""
    bench.make()
    ways = in_turns({PEER: bench.sorted(), ENGINE: bench.engine}, repeat)
    assert bench.counts() == bench.expected(), "the counts differ from a dict's"
    return [attrs.evolve(way, mb=bench.peak_mb) if way.name == ENGINE else way for way in ways]


def quick() -> dict[str, float]:
    """Of the peer's speed."""
    with scratch() as folder:
        return {"engine": ratios(measured(Bench(folder, 100_000, 10_000, 50, 2, False), 1), PEER)[ENGINE]}


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--peer"]:
        return peer(Path(sys.argv[2]), int(sys.argv[3]))
    options = parser(__doc__, quick=quick, folder=True)
    options.add_argument("--records", type=int, default=1_000_000, help="default: 1000000")
    options.add_argument("--keys", type=int, default=100_000, help="default: 100000")
    options.add_argument("--files", type=int, default=200, help="files of the input (default: 200)")
    options.add_argument("--processes", type=int, default=2, help="workers (default: 2)")
    options.add_argument("--heavy", action="store_true", help="a third of all records have one key")
    given = options.parse_args()
    with scratch(given.dir) as folder:
        bench = Bench(folder, given.records, given.keys, given.files, given.processes, given.heavy)
        ways = measured(bench, given.repeat)
        print(f"\n{given.records} records, {given.keys} keys, {given.files} files, {given.processes} processes\n")
        print(table(ways, PEER))
        again, ranges, seconds = bench.grow()
        assert bench.counts() == bench.expected(), "the counts differ from a dict's"
        print(f"\none more file with {NEW_KEYS} keys: {again} of {ranges} ranges again, {seconds:.1f} s for the call")


if __name__ == "__main__":
    main()
