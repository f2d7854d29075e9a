"""Relations: how a stage reads its upstreams, and so what its lists are called and what is in them."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.planning.relations import Gather, Relation, Slices, Upstream, gather_name
from hpcurate.planning.slicing import Slicing
from hpcurate.store.lists import Input, ShardLine
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
def test_a_line_is_named_by_its_list_and_counts_its_rows(relation: Relation, found: list[Upstream]) -> None:
    """Ids are numbered through within a list; count and weight are those of the rows."""
    for name, lines in lines_of(relation, found).items():
        assert [f"{name}-{n:06d}" for n in range(len(lines))] == [line.id for line in lines]
        assert [(len(rows_of([line])), line.weight) for line in lines] == [
            (line.count, float(line.count)) for line in lines
        ]


# -- slices -----------------------------------------------------------------------------------------


def test_slices_of_one_upstream_keep_the_names_of_its_lists() -> None:
    """Growth above is one more list below."""
    found = Slices().lists([upstream("up-0123", a1=[1], a2=[2])])
    assert {"a1": "a1", "a2": "a2"} == {name: next(iter(part.lists)) for name, (part,) in found.items()}


def test_slices_of_several_upstreams_say_whose_list_it_is() -> None:
    """Both may have a list of the same name."""
    found = Slices().lists([upstream("up-0123", a1=[1]), upstream("side-4567", a1=[2])])
    assert {"a1@up-0123": "up-0123", "a1@side-4567": "side-4567"} == {n: part.folder for n, (part,) in found.items()}


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
    assert gather_name(shard for one in found for shard in one.shards()) == name


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
    found = [gather_name(shards) for shards in ([], [one], [one, two], [two, one], [again])]
    assert len(found) == len(set(found))


def test_the_name_of_a_gather_stays_what_it_was() -> None:
    """Stores hold it: another name would run the stage again."""
    assert "all.e3b0c442" == gather_name([])


def test_a_gather_is_given_in_one_call() -> None:
    """Whatever its batch size."""
    assert Gather().whole


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
    assert len(made) == relation.count(weights)


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_relation_survives_json(relation: Relation) -> None:
    """`pipeline.json` and `plan.json` hold it."""
    assert relation == msgspec.json.decode(msgspec.json.encode(relation), type=Slices | Gather)
