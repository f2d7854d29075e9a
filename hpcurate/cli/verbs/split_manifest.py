"""`hpcurate split-manifest MANIFEST N`: split a manifest into n parts of equal count, bytes or duration."""

from __future__ import annotations

import argparse
import csv
import heapq
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs

from hpcurate.cli.arguments import VerbParser
from hpcurate.cli.terminal import show, table
from hpcurate.errors import ConfigError

PATH_KEYS = ("path", "video", "file", "source")
DURATION_KEYS = ("duration_s", "duration", "seconds", "length_s")


@attrs.define(frozen=True)
class Line:
    """A line of the manifest, as it is there, and its weight."""

    text: bytes
    weight: float


def parser() -> argparse.ArgumentParser:
    """See `hpcurate split-manifest --help`."""
    made = VerbParser("split-manifest", "split a JSONL, CSV or text manifest into n balanced parts")
    made.add_argument("manifest", help=".jsonl, .csv, or a text file with one path per line")
    made.add_argument("n", type=int, help="number of parts")
    made.add_argument(
        "--by", default="count", metavar="count|bytes|duration|KEY",
        help="what to balance; bytes: the size of the file at `path`, or the field `size`; duration: the field "
        "duration_s or duration; KEY: any numeric field",
    )  # fmt: skip
    made.add_argument("--output", help="folder for the parts; default: the manifest's own")
    return made


def verb(argv: list[str]) -> int:
    """Split it, write the parts, and print how balanced they are."""
    options = parser().parse_args(argv[1:])
    if options.n < 1:
        raise ConfigError(f"split-manifest: n={options.n}: expected at least 1")
    header, lines = read_lines(options.manifest, options.by)
    parts = cut([line.weight for line in lines], options.n)
    paths = part_paths(options.manifest, options.n, options.output)
    write_parts(paths, header, [[lines[i].text for i in part] for part in parts])
    weights = [sum(lines[i].weight for i in part) for part in parts]
    rows = [(p, str(len(part)), f"{weight:g}") for p, part, weight in zip(paths, parts, weights, strict=True)]
    mean = sum(weights) / len(weights)
    show([*table(("part", "lines", options.by), rows), f"max/mean {max(weights) / mean if mean else 1:.3f}"])
    return 0


def cut(weights: Sequence[float], n: int) -> list[list[int]]:
    """Indices of each part: heaviest first onto the lightest part (Graham's LPT rule), order kept within. Pure."""
    parts: list[list[int]] = [[] for _ in range(n)]
    heap = [(0.0, 0, k) for k in range(n)]
    for index in sorted(range(len(weights)), key=lambda i: (-weights[i], i)):
        load, count, part = heapq.heappop(heap)
        parts[part].append(index)
        heapq.heappush(heap, (load + weights[index], count + 1, part))
    return [sorted(part) for part in parts]


def part_paths(manifest: str, n: int, output: str | None) -> list[str]:
    """`clips-00000-of-00003.jsonl` … Pure."""
    stem, extension = os.path.splitext(os.path.basename(manifest))
    folder = output or os.path.dirname(manifest)
    return [os.path.join(folder, f"{stem}-{k:05d}-of-{n:05d}{extension}") for k in range(n)]


def write_parts(paths: Sequence[str], header: bytes, parts: Sequence[Sequence[bytes]]) -> None:
    """Write them all. Raises ConfigError if one exists with other content."""
    contents = [header + b"".join(part) for part in parts]
    for path, content in zip(paths, contents, strict=True):
        if os.path.exists(path):
            with open(path, "rb") as file:
                if file.read() != content:
                    raise ConfigError(f"split-manifest: {path} exists with other content; name another --output")
    for path, content in zip(paths, contents, strict=True):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(f"{path}.part", "wb") as file:
            file.write(content)
        os.replace(f"{path}.part", path)


def read_lines(manifest: str, by: str) -> tuple[bytes, list[Line]]:
    """(header, lines with weights). Raises ConfigError naming file and line."""
    is_csv = manifest.lower().endswith(".csv")
    try:
        with open(manifest, "rb") as file:
            texts = list(_csv_records(manifest, file) if is_csv else _ended_lines(file))
    except OSError as error:
        raise ConfigError(f"split-manifest: {manifest}: cannot be read: {error.strerror}") from None
    header = texts.pop(0)[1] if is_csv and texts else b""
    if not texts:
        raise ConfigError(f"split-manifest: {manifest}: is empty")
    read = _reader(manifest, header)
    weigh = _weigher(by, os.path.dirname(os.path.abspath(manifest)))
    lines = []
    for number, text in texts:
        try:
            lines.append(Line(text, weigh(read(text)) if by != "count" else 1.0))
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise ConfigError(f"split-manifest: {manifest}:{number}: no {by} there ({error}); try --by count") from None
    return header, lines


def _ended_lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(number, line with its end) of each line that holds something."""
    for number, line in enumerate(file, 1):
        if line.strip():
            yield number, line if line.endswith(b"\n") else line + b"\n"


def _csv_records(manifest: str, file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(number of its first line, bytes) of each record: inside open quotes it spans lines (RFC 4180, 2.6)."""
    begun, record = 0, b""
    for number, line in enumerate(file, 1):
        begun, record = (begun, record + line) if record else (number, line)
        if record.count(b'"') % 2 == 0:
            if record.strip():
                yield begun, record if record.endswith(b"\n") else record + b"\n"
            record = b""
    if record:
        raise ConfigError(f"split-manifest: {manifest}:{begun}: a quote opened here is never closed")


def _reader(manifest: str, header: bytes) -> Callable[[bytes], dict[str, Any]]:
    if header:
        names = next(csv.reader([header.decode("utf-8-sig", "surrogateescape")]))
        return lambda text: dict(zip(names, next(csv.reader(io.StringIO(os.fsdecode(text), newline="")))))
    if manifest.lower().endswith((".jsonl", ".ndjson")):
        return lambda text: dict(json.loads(text))
    return lambda text: {"path": os.fsdecode(text.rstrip(b"\r\n"))}


def _weigher(by: str, folder: str) -> Callable[[dict[str, Any]], float]:
    if by == "bytes":
        return lambda row: float(row["size"]) if row.get("size") not in (None, "") else _bytes(row, folder)
    keys = DURATION_KEYS if by == "duration" else (by,)
    return lambda row: float(row[next((key for key in keys if key in row), keys[0])])


def _bytes(row: dict[str, Any], folder: str) -> float:
    key = next((key for key in PATH_KEYS if key in row), "path")
    return float(os.stat(os.path.join(folder, row[key])).st_size)
