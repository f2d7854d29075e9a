"""The sort step in front of a group stage: a shard's rows, as they are, in the order of their keys. Python 3.9."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from io import BytesIO
from itertools import groupby, islice
from typing import Optional

import msgspec

from hpcurate.errors import StageError, StoreFailed
from hpcurate.failures import DeadLetter
from hpcurate.group import SortRows, place_of
from hpcurate.stage_process.feed import Report
from hpcurate.stage_process.input import AT_ONCE, blocks_of
from hpcurate.stage_process.keys import Keyed, Keys, keys_by_field, keys_by_method
from hpcurate.stage_process.messages import InWork, ShardJob
from hpcurate.stage_process.output import ShardOutput
from hpcurate.stage_process.sorter import Row, Sorter
from hpcurate.stage_process.store_errors import own_io
from hpcurate.stage_process.tries import Fault
from hpcurate.store.files import REAL, Files
from hpcurate.store.notes import BEGUN, NOTHING, line_of
from hpcurate.store.order import ORDER_FILE, OrderInWork, bucket_of
from hpcurate.store.stats import ShardCounts


class SortRunner:
    """Runs shards of a sort step; stands where a `ShardRunner` does."""

    looks_ahead = False

    def __init__(self, stage: SortRows, *, name: Optional[str] = None, files: Files = REAL) -> None:
        self.stage, self.files, self._name = stage, files, name or "sort"

    def hold(self, job: ShardJob, report: Report) -> None:
        """Nothing is prepared ahead."""

    def close(self) -> None:
        """See `ShardRunner`."""
        self.stage.teardown()

    def run(self, job: ShardJob, report: Report = lambda message: None) -> ShardCounts:
        """Write `tasks.jsonl` in order, its `order.json`, and `failed.jsonl` for rows without a key."""
        with ShardOutput(job, self.files) as output, Sorter() as sorter:
            weights: dict[int, float] = {}
            self._note(job, BEGUN)
            for first, lines, keyed in self._blocks(job, report):
                rows = list(self._placed(output, first, lines, keyed))
                sorter.extend(rows)
                weights.update((row, weight) for row, weight in enumerate(keyed.weights, first) if weight != 1.0)
            self._note(job, NOTHING)
            self._write(job, output, sorter, weights)
        return output.counts

    def _note(self, job: ShardJob, line: bytes) -> None:
        """Make durable what is in work from now on, where that is asked for: the whole job may be killed."""
        if job.note:
            with own_io("writing", job.note):
                self.files.append(job.note, line)

    def _blocks(self, job: ShardJob, report: Report) -> Iterator[tuple[int, list[bytes], Keyed]]:
        """(number of the first, some rows, their keys). One at a time where a row is sought that ends the process."""
        by, grouped = self.stage.by, self.stage.grouped
        keys = keys_by_method(grouped, self.stage.task_types[0], job.root) if grouped else keys_by_field(by)
        first = 0
        for block in blocks_of(job, 1 if job.isolate else AT_ONCE, self.files):
            lines = BytesIO(block).readlines()
            if job.isolate:
                yield first, lines, self._isolated(job, first, block, keys, report)
            else:
                yield first, lines, keys(block, len(lines))
            first += len(lines)

    def _isolated(self, job: ShardJob, row: int, line: bytes, keys: Keys, report: Report) -> Keyed:
        """Of a single row, which is named before its key is made."""
        name = json.loads(line)["id"]
        report(InWork(shard=job.shard, tasks=(name,)))
        poison = job.poison.get(name)
        if poison is not None:
            return Keyed([Poisoned(poison.kind.value, poison.why)], [1.0])
        self._note(job, line_of(name, row))
        return keys(line, 1)

    def _placed(self, output: ShardOutput, first: int, lines: list[bytes], keyed: Keyed) -> Iterator[Row]:
        """Rows with their places; those without one are dead letters."""
        for row, (line, key) in enumerate(zip(lines, keyed.keys), first):
            try:
                place = place_of(key)
            except StageError as error:
                self._dead_letter(output, row, line, self._fault(key if isinstance(key, BaseException) else error))
            else:
                yield place, row, line

    def _fault(self, error: BaseException) -> Fault:
        if isinstance(error, Poisoned):
            return Fault(self._name, error.kind, str(error), kind=error.kind)
        return Fault.of(self._name, error)

    def _dead_letter(self, output: ShardOutput, row: int, line: bytes, fault: Fault) -> None:
        what = {name: value for name, value in msgspec.structs.asdict(fault).items() if name != "names"}
        task = json.loads(line)
        output.dead_letter(DeadLetter(id=task["id"], task=task, row=row, **what))

    def _write(self, job: ShardJob, output: ShardOutput, sorter: Sorter, weights: dict[int, float]) -> None:
        order, waiting = OrderInWork(), list[bytes]()
        for bucket, rows in groupby(sorter, lambda row: bucket_of(row[0][0])):
            count, size, heavy = 0, 0, list[float]()
            while some := list(islice(rows, AT_ONCE)):  # a bucket may have all rows, more than fit into memory
                lines = [line for _, _, line in some]
                count, size = count + len(lines), size + sum(map(len, lines))
                heavy += [weights.get(row, 1.0) for _, row, _ in some] if weights else ()
                waiting += lines
                if len(waiting) >= AT_ONCE:
                    output.sorted(waiting)
                    waiting = []
            order.add(bucket, count, size, math.fsum(heavy) if weights else float(count))
        output.sorted(waiting)
        found = order.done()
        output.counts.weight_out = math.fsum(found.weights)
        self._write_order(os.path.join(job.directory, ORDER_FILE), found.to_json())

    def _write_order(self, path: str, data: bytes) -> None:
        """All of it: without its end the shard would be committed, and no list could be made from it."""
        with own_io("writing", path):
            with self.files.open(path, "wb") as file:
                file.write(data)
            written = self.files.size(path)
        if written != len(data):
            raise StoreFailed(f"{path} has {written} bytes, {len(data)} were written: the store lost them")


class Poisoned(Exception):
    """Stands for the key of a row that ended the process before: of what kind that was, and why it is not tried."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind
