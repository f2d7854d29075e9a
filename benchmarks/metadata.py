#!/usr/bin/env python3
"""File-system calls of one shard, counted with strace: `benchmarks/metadata.py`.

A run of N shards and one of 2N are traced, with all their processes, and the difference is divided by N: what starting
costs is in both, and cancels out. Only calls on paths in the store count:

- *changing*: open with O_CREAT, mkdir, rename, link, unlink, chmod and the like;
- *flushes*: fsync, fdatasync, syncfs;
- *reading*: open without O_CREAT, stat, access, readlink, and each getdents of a listing.

Calls on a file that is open already (read, write, fstat, lseek, close, ioctl) are in a column of their own, and not in
the sum: a client of a shared filesystem answers most of them by itself.

- *hpcurate*: `hpcurate.run` with one stage; driver, workers and stage processes.
- *bare loop*: so many forked processes, each with its share of the shards, and then one listing of the claims and
  what is left of the others'; for each shard a claim (O_EXCL), a folder, rows, stats, and a rename that gives it its
  name, flushed as `durability: full` is. No accounting, nobody who looks.

Counts hardly differ between runs: they are made once, and what a driver does every few seconds is a fraction of a call.
Needs strace. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import attrs
from bench_stages import Caption, Record
from rounds import parser, scratch

TASKS = 2
"""Of one shard: few, so that the source has one shard however many there are."""
_CHANGING = re.compile(
    r"creat|(mkdir|mknod|rename|link|symlink|unlink|f?chmod|[fl]?chown|utimens)(at2?|2)?|rmdir|f?truncate|utimes?|fallocate"
)
_FLUSHES = re.compile(r"fsync|fdatasync|syncfs|sync_file_range")
_READING = re.compile(
    r"open(at)?|l?stat|newfstatat|statx|f?access(at2?)?|readlink(at)?|statfs|getdents64|l?getxattr|chdir"
)
KINDS = ("changing", "flushes", "reading", "on open files")
_CALL = re.compile(r"(\w+)\(")
_ON_OPEN = re.compile(r'\w+\(\d+<[^>]*>, ""')
"""`newfstatat(5<…>, "", …)`: fstat."""


@attrs.define(frozen=True)
class Counted:
    """Calls on the store, by kind, and by (kind, name of the call, whether the driver made it)."""

    calls: Counter[tuple[str, str, bool]]

    def per_shard(self, less: Counted, shards: int) -> PerShard:
        """Of one of the shards that this run had more than the other."""
        names = set(self.calls) | set(less.calls)
        return PerShard({name: (self.calls[name] - less.calls[name]) / shards for name in names})


@attrs.define(frozen=True)
class PerShard:
    """The same of one shard."""

    calls: dict[tuple[str, str, bool], float]

    def of(self, kind: str) -> float:
        """Calls of a kind."""
        return sum(count for (one, _, _), count in self.calls.items() if one == kind)

    @property
    def all(self) -> float:
        """Calls that count."""
        return sum(map(self.of, KINDS[:3]))

    @property
    def drivers(self) -> float:
        """Of these, the driver's."""
        return sum(count for (kind, _, driver), count in self.calls.items() if driver and kind in KINDS[:3])

    def named(self, kind: str) -> str:
        """Which they are, the most frequent first."""
        found: Counter[str] = Counter()
        for (one, name, _), count in self.calls.items():
            if one == kind:
                found[name] += count  # type: ignore[assignment]  # a Counter may hold fractions
        return ", ".join(f"{name} {count:.2f}" for name, count in found.most_common() if abs(count) >= 0.005)


def kind_of(line: str) -> tuple[str, str] | None:
    """(kind, name) of the call of one line of a trace; None where it is none. Pure."""
    call = _CALL.match(line)
    if call is None:
        return None
    name = call.group(1)
    if name in ("open", "openat"):
        return ("changing", "create") if "O_CREAT" in line else ("reading", "open")
    if _CHANGING.fullmatch(name):
        return "changing", name
    if _FLUSHES.fullmatch(name):
        return "flushes", name
    if _READING.fullmatch(name) and not _ON_OPEN.match(line):
        return "reading", "stat" if "stat" in name else name
    return "on open files", name


def traced(folder: Path, way: str, shards: int, workers: int, launcher: str, durability: str) -> Counted:
    """Run one way with so many shards, and count."""
    store, traces = folder / "store", folder / "traces"
    shutil.rmtree(folder, ignore_errors=True)
    traces.mkdir(parents=True)
    command = ["strace", "-ff", "-y", "-s", "0", "-e", "trace=%file,%desc", "-e", "signal=none", "-o", f"{traces}/t"]
    inside = [sys.executable, __file__, "--inside", way, os.fspath(store), str(shards), str(workers), launcher]
    subprocess.run([*command, *inside, durability], check=True, stdout=subprocess.DEVNULL)
    files = sorted(traces.iterdir(), key=lambda path: int(path.suffix[1:]))
    calls: Counter[tuple[str, str, bool]] = Counter()
    for path in files:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if os.fspath(store) in line and '"/proc/' not in line and (found := kind_of(line)):
                    calls[(*found, path == files[0])] += 1
    shutil.rmtree(folder, ignore_errors=True)
    return Counted(calls)


def per_shard(folder: Path, way: str, shards: int, workers: int, launcher: str, durability: str) -> PerShard:
    """Calls of one shard."""
    once, twice = (traced(folder, way, n, workers, launcher, durability) for n in (shards, 2 * shards))
    return twice.per_shard(once, shards)


# -- what is traced ---------------------------------------------------------------------------------


def records(count: int) -> list[Record]:
    """The tasks of so many shards."""
    return [Record(id=f"r{n:08d}", source="v.mp4", start_s=n * 0.5, end_s=n * 0.5 + 9) for n in range(count * TASKS)]


def with_hpcurate(store: Path, shards: int, workers: int, launcher: str, durability: str) -> None:
    """The whole run."""
    import hpcurate
    from hpcurate.planning.build import Step
    from hpcurate.planning.options import StageOptions

    options = StageOptions(shard_tasks=TASKS, workers=workers, resources={"cpus": 1, "memory": "500MB", "time": "1h"})
    steps = {"caption": Step(Caption(), options)}
    outcome = hpcurate.run(steps, records(shards), store=store, launcher=launcher, durability=durability)
    assert outcome.state.value == "complete", outcome.summary


def bare_loop(store: Path, shards: int, workers: int, launcher: str, durability: str) -> None:
    """Claim, folder, rows, stats, rename."""
    from hpcurate.store.rows import codec

    rows = codec(Record)
    store.mkdir()
    lines = list(rows.encode_lines(records(shards)))
    (store / "in.jsonl").write_bytes(b"".join(lines))
    for name in ("claims", "shards"):
        (store / name).mkdir()
    children = [os.fork() or share(store, lines, k, workers, durability == "full") for k in range(workers)]
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)


def share(store: Path, lines: Sequence[bytes], index: int, workers: int, flush: bool) -> NoReturn:
    """What one process of the bare loop does: its own share, then what nobody has claimed yet."""
    from hpcurate.store.rows import codec

    rows, shards = codec(Record), range(len(lines) // TASKS)

    def work(number: int) -> None:
        if not claimed(store / "claims" / str(number)):
            return
        with open(store / "in.jsonl", "rb") as given:
            given.seek(sum(map(len, lines[: number * TASKS])))
            tasks = [rows.decode(given.readline()) for _ in range(TASKS)]
        one_shard(store / "shards", number, tasks, rows.encode_lines, flush)

    for number in shards[index::workers]:
        work(number)
    for number in set(shards) - set(map(int, os.listdir(store / "claims"))):
        work(number)
    os._exit(0)


def claimed(path: Path) -> bool:
    """Whether it is ours."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def one_shard(folder: Path, number: int, tasks: Sequence[Record], encode: Callable[..., object], flush: bool) -> None:
    """Rows and stats in a folder of another name, then its own."""
    attempt = folder / f".{number}"
    attempt.mkdir()
    data = b"".join(encode(Caption().process(list(tasks))))  # type: ignore[call-overload]
    for name, content in (("tasks.jsonl", data), ("stats.json", b'{"out": %d}\n' % len(tasks))):
        descriptor = os.open(attempt / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400)
        os.write(descriptor, content)
        flush and os.fsync(descriptor)
        os.close(descriptor)
    flush and flushed(attempt)
    os.rename(attempt, folder / str(number))
    flush and flushed(folder)


def flushed(folder: Path) -> None:
    """The names in it are there after a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


WAYS = {"hpcurate": with_hpcurate, "bare loop": bare_loop}


# -- the table --------------------------------------------------------------------------------------


def row(name: str, found: PerShard) -> str:
    """Of the table."""
    kinds = " | ".join(f"{found.of(kind):.1f}" for kind in KINDS[:3])
    return f"| {name} | {kinds} | **{found.all:.1f}** | {found.drivers:.1f} | {found.of(KINDS[3]):.1f} |"


def quick() -> dict[str, float]:
    """Calls of the bare loop for one of ours, with two workers."""
    with scratch() as folder:
        found = {way: per_shard(folder / "run", way, 20, 2, "local", "full") for way in WAYS}
    ours, peer = found["hpcurate"], found["bare loop"]
    return {
        "all calls": peer.all / ours.all,
        "changing calls": peer.of("changing") / ours.of("changing"),
    }


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    """Count, and print."""
    heading = "changing | flushes | reading | all | of them the driver's | on open files"
    print(f"| calls a shard | {heading} |\n|---|---|---|---|---|---|---|", flush=True)
    details = []
    launchers = [("inline", 1), *(("local", one) for one in arguments.workers)]
    for launcher, workers in launchers:
        for way in WAYS if launcher == "local" else ["hpcurate"]:
            shards = arguments.shards or max(64, 8 * workers)
            found = per_shard(folder, way, shards, workers, launcher, arguments.durability)
            name = f"{way}, {'inline' if launcher == 'inline' else f'{workers} workers' if workers > 1 else '1 worker'}"
            print(row(name, found), flush=True)
            details += [f"{name}: " + "; ".join(f"{kind}: {found.named(kind)}" for kind in KINDS[:3])]
    print("\n" + "\n".join(details))


def main() -> None:
    """Command line."""
    if sys.argv[1:2] == ["--inside"]:
        way, store, shards, workers, launcher, durability = sys.argv[2:]
        return WAYS[way](Path(store), int(shards), int(workers), launcher, durability)
    options = parser(__doc__, quick=quick, repeat=0, folder=True)
    options.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16], help="(default: 1 4 16)")
    options.add_argument("--shards", type=int, default=0, help="N (default: 8 a worker, 64 at least)")
    options.add_argument("--durability", default="full", choices=("full", "rename"), help="(default: full)")
    given = options.parse_args()
    with scratch(given.dir) as folder:
        return measure(folder / "run", given)


if __name__ == "__main__":
    main()
