"""Relations: how a stage reads its upstreams, and so what its lists are called and what is in them."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.group import place_of
from hpcurate.planning.cutting import Output
from hpcurate.planning.relations import Gather, Groups, Parts, Relation, Slices, Upstream, is_grouped, is_up_to_date
from hpcurate.planning.retries import RetriedRow, retry_lines
from hpcurate.planning.slicing import Slicing
from hpcurate.planning.standing import cover, cover_in_order
from hpcurate.store.layout import fan_of, is_content_named, version_name
from hpcurate.store.lists import Input, ShardLine
from hpcurate.store.order import Order, OrderInWork, bucket_of
from hpcurate.store.stats import Committed

CUTS = [Slices(Slicing(tasks=n, weight=w)) for n, w in itertools.product((0, 1, 3), (0.0, 2.0))]
RELATIONS: list[Relation] = [*CUTS, Gather()]


def committed(name: str, ordinal: int, rows: int) -> Committed:
    """A committed shard of so many rows of weight 1."""
    shard = f"{name}-{ordinal:06d}"
    return Committed(
        shard=shard, nonce=f"of {shard}", tasks_in=rows, tasks_out=rows, passed=rows, weight_out=float(rows)
    )


def upstream(folder: str, **lists: list[int]) -> Upstream:
    """An upstream stage: list name → rows of each of its shards."""
    return Upstream(folder, {n: [committed(n, k, rows) for k, rows in enumerate(sizes)] for n, sizes in lists.items()})


def ones(stage: str, shard: Committed) -> list[float]:
    """Weights of the rows of a shard."""
    return [1.0] * shard.tasks_out


def lines_of(relation: Relation, upstreams: list[Upstream]) -> dict[str, list[ShardLine]]:
    """Every list with its lines."""
    return {name: relation.lines(name, parts, ones) for name, parts in relation.lists(upstreams).items()}


def rows_of(lines: list[ShardLine]) -> list[tuple[str, str, str, int]]:
    """Every (stage, shard, nonce, row) of these lines, in order."""
    return [(i.stage, i.shard, i.nonce, row) for line in lines for i in line.inputs for row in range(i.lo, i.hi)]


sizes = st.lists(st.integers(0, 5), max_size=4)
upstreams = st.lists(
    st.dictionaries(st.sampled_from(["a1", "a2", "b1"]), sizes, max_size=3), min_size=1, max_size=3
).map(lambda found: [upstream(f"up{n}-0123", **lists) for n, lists in enumerate(found)])


@given(st.sampled_from(RELATIONS), upstreams)
def test_every_row_is_in_exactly_one_line(relation: Relation, found: list[Upstream]) -> None:
    """In the order of the upstreams, whatever the relation and however the rows lie."""
    expected = [
        (one.folder, shard.shard, shard.nonce, row)
        for one in found
        for shard in one.shards()
        for row in range(shard.tasks_out)
    ]
    assert expected == [row for lines in lines_of(relation, found).values() for row in rows_of(lines)]


@given(st.sampled_from(RELATIONS), upstreams)
def test_a_line_has_a_name_of_its_own_and_counts_its_rows(relation: Relation, found: list[Upstream]) -> None:
    """Numbered through within a numbered list, else a digest; count and weight are those of the rows."""
    for name, lines in lines_of(relation, found).items():
        ids = [line.id for line in lines]
        assert is_content_named(name) or [f"{name}-{n:06d}" for n in range(len(lines))] == ids
        assert len(set(ids)) == len(ids)
        assert [(len(rows_of([line])), line.weight) for line in lines] == [
            (line.count, float(line.count)) for line in lines
        ]


@given(st.sampled_from(RELATIONS), upstreams)
def test_what_was_just_made_is_up_to_date(relation: Relation, found: list[Upstream]) -> None:
    """For the inputs that it was made of; with a row more, a row less or a line twice it is not."""
    parts = relation.lists(found)
    for name, lines in lines_of(relation, found).items():
        assert is_up_to_date(lines, parts[name])
        for line in lines[:1]:
            assert not line.inputs or not is_up_to_date(lines[1:], parts[name])
            assert not line.inputs or not is_up_to_date([*lines, line], parts[name])


# -- slices -----------------------------------------------------------------------------------------


def test_slices_of_one_upstream_keep_the_names_of_its_lists() -> None:
    """Growth above is one more list below."""
    found = Slices().lists([upstream("up-0123", a1=[1], a2=[2])])
    assert {"a1": "a1", "a2": "a2"} == {name: next(iter(part.lists)) for name, (part,) in found.items()}


def test_slices_of_a_later_version_have_the_name_without_it() -> None:
    """Which version below reads it, is decided by its lines."""
    found = Upstream("up-0123", {"0001+2": [committed("0001", 0, 1)]})
    assert {"0001": (found,)} == Slices().lists([found])


def test_slices_of_several_upstreams_are_one_list_named_by_its_inputs() -> None:
    """Both may have a list of the same name; other inputs are another list."""
    one, other = upstream("up-0123", a1=[1]), upstream("side-4567", a1=[2])
    ((name, parts),) = Slices().lists([one, other]).items()
    assert (True, "join", (one, other)) == (is_content_named(name), name.split(".")[0], parts)
    assert name not in Slices().lists([other, one])


@given(upstreams.filter(lambda found: len(found) > 1))
def test_lines_of_a_content_named_list_are_equal_where_their_inputs_are(found: list[Upstream]) -> None:
    """Growth redoes nothing: the shards of the inputs that stay have the ids they had."""
    relation = Slices(Slicing(tasks=3))
    grown = [found[0], Upstream(found[1].folder, {**found[1].lists, "z9": [committed("z9", 0, 2)]}), *found[2:]]
    (before,), (after,) = lines_of(relation, found).values(), lines_of(relation, grown).values()
    assert {line.id for line in before} <= {line.id for line in after}
    assert len(after) == len(before) + 2
    assert {3} >= {len(fan_of(line.id)) for line in after}


def test_what_lies_below_a_content_named_list_is_named_by_its_inputs() -> None:
    """Its own name stays."""
    (name,) = Gather().lists([upstream("up-0123", a1=[1])])
    found = Upstream("all-4567", {name: [committed("x", 0, 2)]})
    ((below, lines),) = lines_of(Slices(Slicing(tasks=1)), [found]).items()
    assert (name, 2) == (below, len({line.id for line in lines}))
    assert all(set(line.id) <= set("0123456789abcdef") for line in lines)


@pytest.mark.parametrize("relation", CUTS)
def test_slices_of_nothing_are_no_lines(relation: Slices) -> None:
    """An empty list is complete at once."""
    assert {"a1": []} == lines_of(relation, [upstream("up-0123", a1=[0, 0])])


def test_a_slice_is_not_given_in_one_call() -> None:
    """Its batches are."""
    assert not Slices().whole


# -- gather -----------------------------------------------------------------------------------------


@given(upstreams)
def test_a_gather_is_one_line_of_one_list(found: list[Upstream]) -> None:
    """Also where there is nothing, so that the stage sees that."""
    ((name, lines),) = lines_of(Gather(), found).items()
    assert (1, sum(shard.tasks_out for one in found for shard in one.shards())) == (len(lines), lines[0].count)
    assert is_content_named(name)


def test_a_gather_reads_no_empty_shard() -> None:
    """Nor any weight: it is not cut."""
    found = upstream("up-0123", a1=[2, 0, 1])
    parts = Gather().lists([found])
    ((name, given),) = parts.items()

    def never(stage: str, shard: Committed) -> list[float]:
        raise AssertionError("a gather asks for no weights")

    (line,) = Gather().lines(name, given, never)
    expected = tuple(Input("up-0123", f"a1-00000{n}", f"of a1-00000{n}", 0, rows) for n, rows in ((0, 2), (2, 1)))
    assert expected == line.inputs


def test_other_inputs_are_another_gather() -> None:
    """A shard that was committed again, by another attempt, changes the name."""
    one, two = committed("a1", 0, 1), committed("a1", 1, 1)
    again = Committed(shard=one.shard, nonce="another attempt", tasks_out=1, weight_out=1.0)
    shards: list[list[Committed]] = [[], [one], [one, two], [two, one], [again]]
    names = [name for found in shards for name in Gather().lists([Upstream("up-0123", {"a1": found})])]
    assert len(names) == len(set(names))


def test_the_name_of_a_gather_in_an_older_store_stays_what_it_was() -> None:
    """Stores hold it: another name would run the stage again."""
    assert {"all.e3b0c442": ()} == Gather().lists_of_format_1([])


def test_the_names_of_several_upstreams_in_an_older_store_stay_what_they_were() -> None:
    """A list for each list above; of one upstream the names are today's."""
    one, other = upstream("up-0123", a1=[1]), upstream("side-4567", a1=[2])
    assert {"a1@up-0123": (one,), "a1@side-4567": (other,)} == Slices().lists_of_format_1([one, other])
    assert {} == Slices().lists_of_format_1([one])


def test_a_gather_is_given_in_one_call() -> None:
    """Whatever its batch size."""
    assert Gather().whole


# -- versions ---------------------------------------------------------------------------------------

Shards = list[tuple[int, int, int]]
"""Of an upstream: (ordinal, attempt, rows)."""
histories = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 5)), max_size=5, unique_by=lambda s: s[0]),
    min_size=1,
    max_size=4,
)


def parts_of(shards: Shards) -> Parts:
    """An upstream that has these shards: another attempt is another nonce, and may have another number of rows."""
    found = [
        Committed(shard=f"0001-{n:06d}", nonce=f"{n}.{attempt}.{rows}", tasks_out=rows, weight_out=float(rows))
        for n, attempt, rows in sorted(shards)
    ]
    return (Upstream("up-0123", {"0001": found}),)


def versions_of(relation: Relation, history: list[Shards]) -> list[list[ShardLine]]:
    """A version for each state of the upstream."""
    found: list[list[ShardLine]] = []
    for number, shards in enumerate(history):
        found.append(relation.lines(version_name("0001", number), parts_of(shards), ones, list(found)))
    return found


def stands(line: ShardLine, parts: Parts) -> bool:
    """Whether all its inputs are committed as the line says."""
    now = {(s.shard, s.nonce) for one in parts for s in one.shards()}
    return all((i.shard, i.nonce) in now for i in line.inputs)


@given(st.sampled_from(CUTS), histories)
def test_every_version_has_every_row_once(relation: Relation, history: list[Shards]) -> None:
    """Of what was committed when it was made, in upstream order by the first row of each line."""
    for shards, lines in zip(history, versions_of(relation, history), strict=True):
        assert is_up_to_date(lines, parts_of(shards))
        firsts = [(line.inputs[0].shard, line.inputs[0].lo) for line in lines]
        assert sorted(firsts) == firsts


@given(st.sampled_from(CUTS), histories)
def test_no_id_is_of_two_lines(relation: Relation, history: list[Shards]) -> None:
    """What is committed under an id is the result of the same rows in every version."""
    lines = {line for lines in versions_of(relation, history) for line in lines}
    assert len(lines) == len({line.id for line in lines})


@given(st.sampled_from(CUTS), histories)
def test_a_line_whose_inputs_stand_is_in_the_next_version(relation: Relation, history: list[Shards]) -> None:
    """As it was: what is committed of it is not done again."""
    versions = versions_of(relation, history)
    for shards, before, after in zip(history[1:], versions, versions[1:], strict=False):
        assert {line for line in before if stands(line, parts_of(shards))} <= set(after)


@given(st.sampled_from(CUTS), histories)
def test_what_has_not_changed_needs_no_other_version(relation: Relation, history: list[Shards]) -> None:
    """A version made for the same shards has the same lines."""
    twice = versions_of(relation, [history[0], history[0]])
    assert twice[0] == twice[1]


def test_one_changed_shard_redoes_its_descendants_alone() -> None:
    """Also where it was merged with its neighbours: only their line is made again."""
    relation, before = Slices(Slicing(tasks=4, batch=4)), [(n, 0, 2) for n in range(6)]
    old, new = versions_of(relation, [before, [*before[:3], (3, 1, 2), *before[4:]]])
    assert ["0001-000000", "0001+1-000000", "0001-000002"] == [line.id for line in new]
    assert ["0001-000000", "0001-000001", "0001-000002"] == [line.id for line in old]


# -- groups -----------------------------------------------------------------------------------------

Keys = list[str]
"""Of the rows of a sorted shard, in order."""
keys = st.lists(st.integers(0, 9).map("k{}".format), max_size=6).map(lambda found: sorted(found, key=place_of))
sorted_upstreams = st.lists(st.lists(keys, max_size=3), min_size=1, max_size=2)
GROUPINGS = [
    Groups(Slicing(tasks=n, weight=w, batch=b)) for n, w, b in itertools.product((0, 1, 4), (0.0, 3.0), (1, 9))
]
SIZE = 7
"""Bytes of a row."""


class SortedShards:
    """Upstreams whose shards are sorted by keys, and what their relation asks for."""

    def __init__(self, found: list[list[Keys]], nonce: str = "n") -> None:
        self.keys: dict[tuple[str, str], Keys] = {}
        self.upstreams = [self._upstream(f"sort{n}-0123", shards, nonce) for n, shards in enumerate(found)]

    def _upstream(self, folder: str, shards: list[Keys], nonce: str) -> Upstream:
        found = []
        for number, one in enumerate(shards):
            shard = f"0001-{number:06d}"
            self.keys[folder, shard] = one
            found.append(Committed(shard=shard, nonce=nonce, tasks_out=len(one), weight_out=float(len(one))))
        return Upstream(folder, {"0001": found})

    def order(self, folder: str, shard: Output) -> Order:
        """As a sort step writes it."""
        work = OrderInWork()
        for bucket, rows in itertools.groupby(self.keys[folder, shard.shard], lambda key: bucket_of(place_of(key)[0])):
            count = len(list(rows))
            work.add(bucket, count, SIZE * count, float(count))
        return work.done()

    def lines(self, relation: Groups) -> list[ShardLine]:
        """Of its one list."""
        ((name, parts),) = relation.lists(self.upstreams).items()
        return relation.lines(name, parts, ones, (), self.order)

    def keys_of(self, line: ShardLine) -> set[str]:
        """Of all its rows."""
        return {self.keys[i.stage, i.shard][row] for i in line.inputs for row in range(i.lo, i.hi)}


@given(st.sampled_from(GROUPINGS), sorted_upstreams)
def test_every_row_is_in_one_line_and_every_group_too(relation: Groups, found: list[list[Keys]]) -> None:
    """Of all upstreams; in a line, inputs are in the order of the upstreams and their shards."""
    shards = SortedShards(found)
    lines = shards.lines(relation)
    expected = {(*place, "n", row) for place, one in shards.keys.items() for row in range(len(one))}
    assert expected == set(rows_of(lines))
    assert len(expected) == len(rows_of(lines)) == sum(line.count for line in lines)
    owners = [key for line in lines for key in shards.keys_of(line)]
    assert len(owners) == len(set(owners))
    for line in lines:
        assert sorted(line.inputs, key=lambda i: (i.stage, i.shard)) == list(line.inputs)
        assert [SIZE * i.lo for i in line.inputs] == list(line.offsets)
        assert float(line.count) == line.weight


@given(st.sampled_from(GROUPINGS), sorted_upstreams, keys)
def test_growth_leaves_lines_alone_that_get_no_row(relation: Groups, found: list[list[Keys]], more: Keys) -> None:
    """Each line that has no new row has been there before, or is a piece of one that a new row has cut."""
    before, after = SortedShards(found), SortedShards([[*found[0], more], *found[1:]])
    old, new = before.lines(relation), after.lines(relation)
    cut = [line for line in old if line not in new]
    for line in new:
        if line not in old and not after.keys_of(line) & set(more):
            assert any(set(rows_of([line])) < set(rows_of([whole])) for whole in cut)
    assert not cut or more


@given(st.sampled_from(GROUPINGS), sorted_upstreams)
def test_what_was_sorted_again_is_read_again(relation: Groups, found: list[list[Keys]]) -> None:
    """Other attempts above are other lines: none of the same id."""
    first, second = SortedShards(found).lines(relation), SortedShards(found, "other").lines(relation)
    assert len(first) == len(second)
    assert not {line.id for line in first} & {line.id for line in second}


@given(st.sampled_from(GROUPINGS), sorted_upstreams)
def test_a_list_of_groups_is_up_to_date_until_its_input_grows(relation: Groups, found: list[list[Keys]]) -> None:
    """Its lines are in the order of hashes, not in that of the rows above."""
    shards, more = SortedShards(found), SortedShards([[*found[0], ["k1"]], *found[1:]])
    assert is_up_to_date(shards.lines(relation), tuple(shards.upstreams))
    assert not is_up_to_date(shards.lines(relation), tuple(more.upstreams))
    assert list(relation.lists(shards.upstreams)) != list(relation.lists(more.upstreams))


@given(st.sampled_from(GROUPINGS), st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), unique_by=lambda s: s[0]))
def test_a_retry_has_what_ended_in_a_shard_in_one_line(relation: Groups, ended: list[tuple[int, int]]) -> None:
    """However heavy: a group is in one shard, so it is tried again whole."""
    rows = [
        RetriedRow(Input("own-1", f"s{n}", "n", row, row + 1), Input("sort-0", f"u{n}", "n", row, row + 1), 9.0)
        for n, count in ended
        for row in range(count)
    ]
    lines = retry_lines(relation, rows)
    assert [(f"s{n}", count) for n, count in ended] == [(line.retries[0].shard, line.count) for line in lines]
    assert all(len(line.retries) == 1 for line in lines)


@pytest.mark.parametrize("results", ["", "0123456789abcdef"])
@pytest.mark.parametrize("relation", CUTS)
def test_below_groups_nothing_is_merged(relation: Slices, results: str) -> None:
    """A shard that stays is the same lines, whatever is beside it; also for a stage that uses a result."""
    name, other = f"group.{'0' * 20}", f"group.{'1' * 20}"
    shards = [committed("a1", n, rows) for n, rows in enumerate((1, 1, 5, 0, 2))]
    before, after = Upstream("up-0123", {name: shards}, results=results), [*shards[:1], *shards[2:]]
    grown = Upstream("up-0123", {other: [*after, committed("b1", 0, 1)]}, results=results)
    (old,), (new,) = lines_of(relation, [before]).values(), lines_of(relation, [grown]).values()
    assert all(len(line.inputs) == 1 for line in (*old, *new))
    kept = {line for line in old if line.inputs[0].shard != shards[1].shard}
    assert kept <= set(new)
    assert all(is_grouped(name) for name in relation.lists([before]))


# -- both -------------------------------------------------------------------------------------------


@given(st.sampled_from(RELATIONS), st.lists(st.integers(0, 4).map(float), max_size=12))
def test_a_dry_run_counts_as_many_shards_as_there_will_be(relation: Relation, weights: list[float]) -> None:
    """From the weights of single rows, which is all that a source has."""
    shards = [
        Committed(shard=f"a1-{n:06d}", nonce="n", tasks_out=1, weight_out=weight) for n, weight in enumerate(weights)
    ]
    found = [Upstream("source-0123", {"a1": shards})]
    made = [
        line
        for name, parts in relation.lists(found).items()
        for line in relation.lines(name, parts, lambda stage, shard: [shard.weight_out])
    ]
    assert len(made) == len(relation.pieces(weights))


@pytest.mark.parametrize("relation", [*RELATIONS, Groups(Slicing(tasks=7))])
def test_a_relation_survives_json(relation: Relation) -> None:
    """`pipeline.json` and `plan.json` hold it."""
    assert relation == msgspec.json.decode(msgspec.json.encode(relation), type=Relation)


@given(st.sampled_from(CUTS), upstreams, st.data())
def test_a_list_that_was_cut_once_is_looked_through_in_order(
    relation: Relation, found: list[Upstream], data: st.DataObject
) -> None:
    """Without a table of its rows, which of a million shards takes a gigabyte; of others `cover` says what they are."""
    for name, parts in relation.lists(found).items():
        rows = [(one.folder, s.shard, s.nonce, s.tasks_out) for one in parts for s in one.shards()]
        lines, sizes = relation.lines(name, parts, ones), {row[:3]: row[3] for row in rows if row[3]}
        assert cover_in_order(lines, rows)
        other = data.draw(st.lists(st.sampled_from(lines), max_size=len(lines) + 1)) if lines else []
        assert cover(other, sizes) or not cover_in_order(other, rows)
        assert not cover_in_order(lines, [*rows, ("up0-0123", "more", "n", 1)])
        assert not cover_in_order(lines, [(*row[:2], "another", row[3]) for row in rows]) or not lines
