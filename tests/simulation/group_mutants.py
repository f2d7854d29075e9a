"""Small wrong changes to how groups are made: sorted rows, hash ranges, and what is read of them."""

from __future__ import annotations

from tests.simulation.mutants import Edit, Mutant, _mutant

RANGES, RELATIONS, CUTTING, RETRIES = (
    "planning/ranges.py",
    "planning/relations.py",
    "planning/cutting.py",
    "planning/retries.py",
)
ORDER, SORTER, GROUPS = "store/order.py", "stage_process/sorter.py", "stage_process/groups.py"
INPUT, SORT_STEP, BATCHES = "stage_process/input.py", "stage_process/sort_step.py", "stage_process/batches.py"
STOP = "one.starts.at(keys.buckets.stop)"

GROUPING: tuple[Mutant, ...] = (
    _mutant(
        "the last bucket of a range is left out",
        Edit(RELATIONS, STOP, "one.starts.at(max(keys.buckets.start, keys.buckets.stop - 1))"),
        scenario="groups",
    ),
    _mutant(
        "the last bucket of a range is read twice",
        Edit(RELATIONS, STOP, "one.starts.at(keys.buckets.stop + (1 << 11))"),
        scenario="groups",
    ),
    _mutant(
        "small neighbours are merged",
        Edit(
            RANGES,
            "        yield from self.of(buckets[:half])\n        yield from self.of(buckets[half:])\n",
            "        low, high = list(self.of(buckets[:half])), list(self.of(buckets[half:]))\n"
            "        if low and high and self._slicing.fits(low[-1].rows + high[0].rows, 0.0):\n"
            "            last, first = low.pop(), high.pop(0)\n"
            "            both = range(last.buckets.start, first.buckets.stop)\n"
            "            low.append(HashRange(both, last.rows + first.rows, last.weight + first.weight))\n"
            "        yield from low + high\n",
        ),
        scenario="groups",
        growth=2,
        shard_tasks=3,
        seed=8,
    ),
    _mutant(
        "the rows of each sorted shard are a shard of their own",
        Edit(
            RELATIONS,
            "        return [_range_line(name, one, starts, _results(parts)) for one in hash_ranges(orders, self.slicing)]\n",
            "        found = [_range_line(name, one, starts, _results(parts)) for one in hash_ranges(orders, self.slicing)]\n"
            "        return [\n"
            "            ShardLine(line_id(name, 0, [one]), 1.0, one.hi - one.lo, (one,), offsets=(at,))\n"
            "            for line in found\n"
            "            for one, at in zip(line.inputs, line.offsets)\n"
            "        ]\n",
        ),
        scenario="groups",
    ),
    _mutant(
        "below, neighbours are merged",
        Edit(RELATIONS, "                    if apart:\n                        cutter.close()\n", ""),
        scenario="groups",
        growth=2,
        shard_tasks=3,
        seed=3,
    ),
    _mutant(
        "an id of a line without the nonces of its inputs",
        Edit(
            CUTTING,
            "parts = [(i.stage, i.shard, i.nonce, i.lo, i.hi) for i in inputs]",
            "parts = [(i.stage, i.shard, i.lo, i.hi) for i in inputs]",
        ),
        scenario="groups, purge",
        seed=63,
    ),
    _mutant(
        "an id of a line with the name of its list",
        Edit(CUTTING, "return content_id([*parts, *map", "return content_id([(name,), *parts, *map"),
        scenario="groups",
        growth=2,
        seed=3,
    ),
    _mutant(
        "a retry cuts a group",
        Edit(
            RELATIONS,
            "        if not shards:\n            return pieces(weights, self.slicing)\n        runs",
            "        if True:\n            return pieces(weights, self.slicing)\n        runs",
        ),
        scenario="groups, retry",
        shard_tasks=1,
        seed=35,
    ),
    _mutant(
        "offsets are ignored",
        Edit(INPUT, "if offset is None else _seek", "if offset is None or not low else low or _seek"),
        scenario="groups",
    ),
    _mutant(
        "an offset is that of the next row",
        Edit(RELATIONS, "offsets.append(offset)", "offsets.append(one.starts.at(keys.buckets.start + 1)[1])"),
        scenario="groups",
    ),
    _mutant(
        "a row counts with what its bytes are without the end",
        Edit(SORT_STEP, "size + sum(map(len, lines))\n", "size + sum(map(len, lines)) - len(lines)\n"),
        scenario="groups",
    ),
    _mutant(
        "groups in the order of arrival",
        Edit(SORTER, "        self._rows.sort()\n", "        self._rows.sort(key=lambda row: (row[0], -row[1]))\n"),
        scenario="groups",
    ),
    _mutant(
        "rows are given as they come",
        Edit(SORTER, "        self._rows.sort()\n", ""),
        scenario="groups",
    ),
    _mutant(
        "rows of a join are decoded as the other class",
        Edit(GROUPS, "self._codecs[self.of_row(row)].decode(line)", "self._codecs[0].decode(line)"),
        scenario="a join",
    ),
    _mutant(
        "a batch that is tried again counts its rows from its own beginning",
        Edit(BATCHES, "rows, data = [self.rows[n] for n in places]", "rows, data = list(places)"),
        scenario="a join, retry",
        shard_tasks=8,
        bugs=3,
        tasks=3,
        seed=13,
    ),
    _mutant(
        "a group is cut where a batch is full",
        Edit(
            GROUPS,
            "        self._groups += 1\n",
            "        self._groups += 1\n"
            "        if len(self._rows) > 2:\n"
            "            rest = self._rows[2:], self._lines[2:], self._keys[2:]\n"
            "            self._rows, self._lines, self._keys = self._rows[:2], self._lines[:2], self._keys[:2]\n"
            "            yield from self.end()\n"
            "            self._rows, self._lines, self._keys = rest\n"
            "            self._groups = 1\n",
        ),
        scenario="groups",
    ),
    _mutant(
        "the order of another attempt is believed",
        Edit(
            "runs/live.py",
            "            found = Order.from_json(self._world.filesystem.read(path))\n",
            "            known = self._world.filesystem.disk.__dict__.setdefault('orders', {})\n"
            "            found = known.setdefault(path, Order.from_json(self._world.filesystem.read(path)))\n",
        ),
        scenario="groups, retry",
        stages=("team", "sift"),
        bugs=3,
        tasks=1,
        shard_tasks=3,
        retries=0,
        purges=8,
        seed=4,
    ),
    _mutant(
        "dead letters of a group count one by one",
        Edit(
            "runs/state.py",
            "return min(self.groups_failed, self.failed) if self.groups_in else self.failed",
            "return self.failed",
        ),
        scenario="groups",
        stages=("team", "sift"),
        tasks=4,
        poison=3,
        budget=3,
        kills=0,
        host_deaths=0,
        errors=0.0,
    ),
)
