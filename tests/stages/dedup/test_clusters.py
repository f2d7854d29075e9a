"""Clusters of vectors, and which of one are duplicates: on small vectors whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stages.dedup import clusters
from stages.dedup.clusters import clusters_for, nearest, of_length_one, one_width, spherical_kmeans
from stages.dedup.sampling import Sampling, sampled, share_of
from stages.dedup.twins import Keep, Twin, keep_order, twins


def random_rows(count: int, width: int = 8, seed: int = 0) -> np.ndarray:
    """Of length 1."""
    return of_length_one(np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32))


def at(*degrees: float) -> np.ndarray:
    """Vectors in a plane."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


# -- clusters ---------------------------------------------------------------------------------------


def test_how_many_clusters() -> None:
    """One while all pairs are cheap."""
    assert [1, 1, 1, 224, 1000] == [clusters_for(n) for n in (0, 1, 50_000, 50_001, 1_000_000)]


def test_rows_of_length_one() -> None:
    """A row of zeros is like nothing; numbers that are none are refused."""
    assert [[0.6, 0.8], [0, 0]] == pytest.approx(of_length_one(np.array([[3, 4], [0, 0]], np.float32)))
    with pytest.raises(ValueError, match="not finite"):
        of_length_one(np.array([[np.nan, 1]], np.float32))


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
@pytest.mark.parametrize(("rows", "others"), [(1, 1), (3, 5), (4, 8), (5, 9), (9, 17), (2, 0), (0, 3)])
def test_the_nearest_one_in_blocks(monkeypatch: pytest.MonkeyPatch, rows: int, others: int, device: str) -> None:
    """As if all products were made at once, whatever the blocks. `cpu:0`: what a GPU does, on the CPU."""
    if device != "cpu":
        pytest.importorskip("torch")
    monkeypatch.setattr(clusters, "ROWS", 4)
    monkeypatch.setattr(clusters, "OTHERS", 8)
    a, b = random_rows(rows), random_rows(others, seed=1)
    places, best = nearest(a, b, device)
    if others:
        assert [(a @ b.T).argmax(axis=1).tolist(), pytest.approx((a @ b.T).max(axis=1))] == [places.tolist(), best]
    else:
        assert [-1] * rows == places.tolist()


@pytest.mark.parametrize("size", [1, 7, 64])
def test_equal_rows_are_equally_near_whatever_is_beside_them(size: int) -> None:
    """Else the last bit of a float32 decides which of two equal clips is kept: it differs between batches."""
    rows, others = random_rows(200, 512), random_rows(3, 512, seed=1)
    parts = [nearest(rows[first : first + size], others)[1] for first in range(0, 200, size)]
    assert nearest(rows, others)[1].tolist() == np.concatenate(parts).tolist()


def test_the_first_of_equal_ones_is_the_nearest() -> None:
    """Also across blocks."""
    assert [0] == nearest(at(0), at(0, 0, 0))[0].tolist()


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_kmeans_finds_heaps(device: str) -> None:
    """Three heaps, three centroids; the same each time."""
    pytest.importorskip("faiss" if device == "cpu" else "torch", reason="the extra is not installed")
    heaps = np.concatenate(
        [at(*np.random.default_rng(k).normal(angle, 2, 50)) for k, angle in enumerate((10, 130, 250))]
    )
    found = spherical_kmeans(heaps, 3, 0, device)
    angles = sorted(np.degrees(np.arctan2(found[:, 1], found[:, 0])) % 360)
    assert [10, 130, 250] == pytest.approx(angles, abs=2)
    assert [1, 1, 1] == pytest.approx(np.linalg.norm(found, axis=1))
    assert found.tobytes() == spherical_kmeans(heaps, 3, 0, device).tobytes()


def test_few_rows_make_few_clusters() -> None:
    """One cluster is the mean, without faiss."""
    assert at(45).tolist() == [pytest.approx(row) for row in spherical_kmeans(at(0, 90), 1, 0).tolist()]
    assert 1 == len(spherical_kmeans(at(0), 7, 0))


def test_vectors_of_two_networks_are_not_compared() -> None:
    """By their width."""
    assert 0 == one_width([])
    with pytest.raises(ValueError, match="vectors of 2 and 3 numbers are of different networks"):
        one_width([random_rows(1, 3), random_rows(1, 2)])


# -- samples ----------------------------------------------------------------------------------------


def test_a_sample_is_a_matter_of_the_ids() -> None:
    """In whatever order; about the share, between its bounds; another seed takes others."""
    ids = [f"clip {k}" for k in range(2000)]

    def chosen(ids: list[str], share: float, least: int, most: int, seed: int = 0) -> list[str]:
        return [ids[k] for k in sampled(ids, Sampling(share, least, seed), most)]

    some = chosen(ids, 0.25, 0, 10_000)
    assert 400 < len(some) < 600
    assert some == chosen(ids[::-1], 0.25, 0, 10_000)
    assert set(some) != set(chosen(ids, 0.25, 0, 10_000, seed=1))
    assert [30, 10, 2000] == [len(chosen(ids, *each)) for each in ((0.0, 30, 99), (1.0, 30, 10), (0.0, 9999, 9999))]
    assert some[:10] == chosen(ids, 0.25, 0, 10)
    assert 0 <= share_of("\udcff", 0) < 1


@pytest.mark.parametrize("size", [1, 90, 400])
def test_a_sample_is_not_a_matter_of_the_slices(size: int) -> None:
    """It depended on them: each had so many at least."""
    ids, how = [f"clip {k}" for k in range(400)], Sampling(0.1, 100, 0)
    parts = [ids[first : first + size] for first in range(0, 400, size)]
    passed = [part[k] for part in parts for k in sampled(part, how, 9999)]
    for most in (30, 9999):
        assert [ids[k] for k in sampled(ids, how, most)] == [passed[k] for k in sampled(passed, how, most)]


# -- duplicates -------------------------------------------------------------------------------------


def test_keep_orders() -> None:
    """Equal ones stand by their id."""
    ids, near, long = ["d", "c", "b", "a"], [0.5, 0.9, 0.5, 0.7], [1.0, 2.0, 3.0, 3.0]
    expected: dict[Keep, str] = {"nearest": "cabd", "farthest": "bdac", "longest": "abcd"}
    assert expected == {keep: "".join(ids[k] for k in keep_order(keep, ids, near, long)) for keep in expected}


def verdicts(*degrees: float, threshold: float = np.cos(np.radians(15)), old: tuple[float, ...] = ()) -> str:
    """`.` for one that is kept, else the number of its twin; old ones are letters."""
    ids = [str(k) for k in range(len(degrees))]
    found = twins(ids, at(*degrees), threshold, [chr(97 + k) for k in range(len(old))], at(*old) if old else None)
    return "".join("." if twin is None else twin.id for twin in found)


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        ((), ""),
        ((0,), "."),
        ((0, 90), ".."),
        ((0, 10), ".0"),
        ((0, 10, 20), ".0."),  # a chain: the last is like one that was dropped, which does not count
        ((10, 0, 20), ".00"),  # its middle first
        ((0, 10, 20, 30), ".0.2"),
        ((0, 14, 20, 9), ".0.0"),  # the twin is the most similar one that is kept
        ((0, 20, 11), "..1"),
        ((0, 0, 0), ".00"),
    ],
)
def test_who_is_whose_twin(degrees: tuple[float, ...], expected: str) -> None:
    """Fifteen degrees are the limit."""
    assert expected == verdicts(*degrees)


def test_old_ones_stand_before_all() -> None:
    """They are never dropped; one of them may be the twin."""
    assert ["a", ".a", "ba"] == [verdicts(5, old=(0,)), verdicts(90, 5, old=(0,)), verdicts(100, 5, old=(0, 95))]
    assert [Twin("a", pytest.approx(1.0))] == twins(["a"], at(0), 0.9, ["a"], at(0))


def test_a_similarity_at_the_threshold_is_none() -> None:
    """Above it."""
    rows = np.array([[1, 0], [1, 0]], np.float32)
    assert [None, None] == twins(["a", "b"], rows, 1.0)
    assert [None, Twin("a", 1.0)] == twins(["a", "b"], rows, 0.999)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Against a plain loop, with old ones and without."""
    import stages.dedup.twins

    rows, old = random_rows(60, 3, seed=2), random_rows(9, 3, seed=3)
    ids, old_ids = [f"n{k}" for k in range(60)], [f"o{k}" for k in range(9)]
    monkeypatch.setattr(stages.dedup.twins, "ROWS", size)
    for before, count in itertools.product((True, False), (0, 1, 60)):
        given = (old_ids, old) if before else ((), None)
        assert plainly(ids[:count], rows[:count], 0.9, *given) == [
            twin and twin.id for twin in twins(ids[:count], rows[:count], 0.9, *given)
        ]


def plainly(ids: list[str], rows: np.ndarray, threshold: float, old_ids: object, old: np.ndarray | None) -> list:
    """The definition."""
    kept = list(zip(old_ids, old)) if old is not None else []  # type: ignore[call-overload]
    found = []
    for id, row in zip(ids, rows):
        near = max(((float(row @ other), name) for name, other in kept), default=(-1.0, ""))
        found.append(near[1] if near[0] > threshold else None)
        if found[-1] is None:
            kept.append((id, row))
    return found
