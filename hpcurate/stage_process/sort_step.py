"""The sort step in front of a group stage: a shard's rows, as they are, in the order of their keys. Python 3.9."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from io import BytesIO
from typing import Optional

import msgspec

from hpcurate.failures import DeadLetter
from hpcurate.group import SortRows, place_of
from hpcurate.stage_process.feed import Report
from hpcurate.stage_process.input import AT_ONCE, blocks_of
from hpcurate.stage_process.keys import Keyed, keys_by_field, keys_by_method
from hpcurate.stage_process.messages import InWork, ShardJob
from hpcurate.stage_process.output import ShardOutput
from hpcurate.stage_process.prepare import Preparer
from hpcurate.stage_process.raised import RAISED
from hpcurate.stage_process.sorter import Sorter
from hpcurate.stage_process.store_errors import own_io
from hpcurate.stage_process.tries import Fault
from hpcurate.store.files import REAL, Files
from hpcurate.store.order import ORDER_FILE, OrderInWork, bucket_of
from hpcurate.store.stats import ShardCounts

WRITTEN_AT_ONCE = 1 << 20
"""Bytes of rows."""


class SortRunner:
    """Runs shards of a sort step; stands where a `ShardRunner` does."""

    preparer: Optional[Preparer] = None

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
            for row, line, keyed in self._rows(job, report):
                fault = self._fault(job, line, keyed)
                if fault is None:
                    sorter.add(place_of(keyed.key), row, line)
                    if keyed.weight != 1.0:
                        weights[row] = keyed.weight
                else:
                    self._dead_letter(output, row, line, fault)
            self._write(job, output, sorter, weights)
        return output.counts

    def _rows(self, job: ShardJob, report: Report) -> Iterator[tuple[int, bytes, Keyed]]:
        """(number, row, its key). One at a time where a row is sought that ends the process."""
        by, grouped = self.stage.by, self.stage.grouped
        keys = keys_by_method(grouped, self.stage.task_types[0], job.root) if grouped else keys_by_field(by)
        row = 0
        for block in blocks_of(job, 1 if job.isolate else AT_ONCE, self.files):
            lines = BytesIO(block).readlines()
            if job.isolate:
                report(InWork(shard=job.shard, tasks=(json.loads(block)["id"],)))
            poisoned = job.isolate and json.loads(block)["id"] in job.poison
            for line, keyed in zip(lines, [Keyed(None, 1.0)] if poisoned else keys(block, len(lines))):
                yield row, line, keyed
                row += 1

    def _fault(self, job: ShardJob, line: bytes, keyed: Keyed) -> Optional[Fault]:
        """Why a row has no place; None where it has one."""
        poison = job.poison and job.poison.get(json.loads(line)["id"])
        if poison:
            return Fault(self._name, poison.kind.value, poison.why, kind=poison.kind.value)
        try:
            if keyed.raised is not None:
                raise keyed.raised
            place_of(keyed.key)
        except RAISED as error:
            return Fault.of(self._name, error)
        return None

    def _dead_letter(self, output: ShardOutput, row: int, line: bytes, fault: Fault) -> None:
        what = {name: value for name, value in msgspec.structs.asdict(fault).items() if name != "names"}
        task = json.loads(line)
        output.dead_letter(DeadLetter(id=task["id"], task=task, row=row, **what))

    def _write(self, job: ShardJob, output: ShardOutput, sorter: Sorter, weights: dict[int, float]) -> None:
        order, waiting, size = OrderInWork(), list[bytes](), 0
        for (hashed, _), row, line in sorter:
            order.add(bucket_of(hashed), len(line), weights.get(row, 1.0))
            waiting.append(line)
            size += len(line)
            if size >= WRITTEN_AT_ONCE:
                output.sorted(waiting)
                waiting, size = [], 0
        output.sorted(waiting)
        found = order.done()
        output.counts.weight_out = sum(found.weights)
        path = os.path.join(job.directory, ORDER_FILE)
        with own_io("writing", path), self.files.open(path, "wb") as file:
            file.write(found.to_json())
