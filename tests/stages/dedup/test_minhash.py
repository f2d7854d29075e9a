"""Near duplicates of texts: planted ones are all found, no other; each part beside what is computed by hand."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import pytest
from documents import document, edited, reordered, with_notice

from hpcurate.errors import ConfigError, StageError
from hpcurate.spec import InputFile
from hpcurate.testing import Outcome, try_stage
from stages.dedup.components import components, links
from stages.dedup.kept import Kept, WriteKept
from stages.dedup.minhash import Bands, Candidates, Components, Sign, VerdictTask
from stages.dedup.signatures import Signing, band_keys, shingles, signatures, similarities, sketch, sketch_rows
from stages.texts.tasks import TextTask

pytest.importorskip("rensa", reason="the text extra is not installed")
np = pytest.importorskip("numpy")


def texts(**given: str) -> list[TextTask]:
    """Tasks by id."""
    return [TextTask(id=id, text=text) for id, text in given.items()]


def documents(name: str, numbers: range) -> dict[str, str]:
    """Ids and texts."""
    return {f"{name}{number:03}": document(number) for number in numbers}


def judged(tasks: list[TextTask], folder: Path, threshold: float = 0.75) -> dict[str, VerdictTask]:
    """All stages but the join, one after the other: which texts are not kept."""
    for stage in (Sign(), Bands(), Candidates(threshold), Components()):
        out = try_stage(stage, tasks, folder / type(stage).__name__)
        assert [] == out.failed
        tasks = out.tasks
    return {verdict.id: verdict for verdict in tasks}  # type: ignore[misc]


def test_planted_near_duplicates_are_all_found_and_no_other(tmp_path: Path) -> None:
    """120 documents, of which 15 each are there again with words replaced, paragraphs in another order, or a notice
    below; ten others share just the notice.
    """
    given = documents("d", range(120))
    given |= {f"edited{n}": edited(given[f"d{n:03}"], n, 6) for n in range(15)}
    given |= {f"reordered{n}": reordered(given[f"d{n:03}"]) for n in range(15, 30)}
    given |= {f"notice{n}": with_notice(given[f"d{n:03}"]) for n in range(30, 45)}
    given |= {f"other{n}": with_notice(document(n)) for n in range(200, 210)}
    found = judged(texts(**given), tmp_path)
    pairs = {frozenset((id, verdict.twin)) for id, verdict in found.items()}
    kinds = ["edited"] * 15 + ["reordered"] * 15 + ["notice"] * 15
    assert {frozenset((f"d{n:03}", f"{kind}{n}")) for n, kind in enumerate(kinds)} == pairs
    assert all(len(given[verdict.twin]) >= len(given[id]) for id, verdict in found.items())
    assert {2} == {verdict.members for verdict in found.values()}


def test_the_verdicts_do_not_depend_on_the_order(tmp_path: Path) -> None:
    """Nor on the batches."""
    given = texts(a=document(1), b=edited(document(1), 1), c=edited(document(1), 2), d=document(2))
    found = [judged(list(order), tmp_path / str(n)) for n, order in enumerate([given, given[::-1]])]
    assert {id: (v.twin, v.similarity) for id, v in found[0].items()} == {
        id: (v.twin, v.similarity) for id, v in found[1].items()
    }
    assert 2 == len(found[0])


def test_shingles_are_runs_of_words_or_characters() -> None:
    """Case and punctuation do not count; a short text is one shingle, one without words has none."""
    assert ["a b c", "b c a"] == shingles("A, b c - a b!  C", "words", 3)[:2]
    assert ["a b"] == shingles("a b", "words", 5)
    assert ["ab", "bc"] == shingles("abc", "characters", 2)
    assert [] == shingles("... !", "words", 5) == shingles("", "characters", 5)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_the_estimate_is_near_the_jaccard_similarity(share: float) -> None:
    """Mean of 40 pairs: within three standard errors of what is counted; bytes are almost as good as 32 bits."""
    rng, errors = random.Random(1), []
    for _ in range(40):
        words = [f"w{rng.random()}" for _ in range(400)]
        other = [word if rng.random() < share else f"v{rng.random()}" for word in words]
        sets = [set(shingles(" ".join(each), "words", 1)) for each in (words, other)]
        true = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        made = signatures([" ".join(words), " ".join(other)], Signing(n=1))
        rows = sketch_rows([sketch(one) for one in made])
        errors.append(float(similarities(rows[0], rows[1:])[0]) - true)
    assert abs(float(np.mean(errors))) < 3 * 0.5 / (112 * 40) ** 0.5


def test_a_signature_depends_on_the_set_and_on_the_seed() -> None:
    """Not on the order of the words, with n = 1, nor on what else is in the batch."""
    how = Signing(n=1)
    one, other, *_ = signatures(["a b c", "c b a a", "x"], how)
    assert one == other == signatures(["A. B. C."], how)[0] != signatures(["a b c"], Signing(n=1, seed=2))[0]
    assert ["", one] == signatures(["", "a b c"], how)


def test_texts_agree_in_a_band_if_all_of_its_rows_do() -> None:
    """A key has the number of its band: two bands never meet."""
    how = Signing(n=1, bands=4, rows=2)
    (one,) = signatures(["a b c d e"], how)
    keys = band_keys(one, 4)
    assert ["0", "1", "2", "3"] == [key.split("-")[0] for key in keys]
    assert 4 == len({key.split("-")[1] for key in keys})


def test_links_connect_what_pairs_connect() -> None:
    """Random rows, beside all pairs: the same components; of rows without a pair, how near the nearest is."""
    rng = np.random.default_rng(7)
    for _ in range(30):
        base = rng.integers(0, 256, (4, 32), dtype=np.uint8)
        rows = base[rng.integers(0, 4, 20)].copy()
        changed = rng.random(rows.shape) < 0.25
        rows[changed] = rng.integers(0, 256, int(changed.sum()), dtype=np.uint8)
        pairs = [
            (one, other)
            for one, other in itertools.combinations(range(20), 2)
            if similarities(rows[one], rows[other : other + 1])[0] >= 0.6
        ]
        found, nearest = links(rows, 0.6)
        assert {frozenset(c) for c in components(pairs)} == {frozenset(c) for c in components([f[:2] for f in found])}
        alone = set(range(20)) - {number for pair in pairs for number in pair}
        for number in alone:
            others = np.delete(rows, number, axis=0)
            assert nearest[number] == pytest.approx(similarities(rows[number], others).max(), abs=1e-4)


def test_components_are_what_pairs_connect() -> None:
    """A chain, a pair, and a ring."""
    found = components([("a", "b"), ("x", "y"), ("b", "c"), ("p", "q"), ("q", "r"), ("r", "p")])
    assert [["a", "b", "c"], ["x", "y"], ["p", "q", "r"]] == found


def test_a_chain_is_one_component_with_its_longest_text_kept(tmp_path: Path) -> None:
    """Also where its ends are less alike than the threshold: the verdict has their own similarity."""
    one = document(1)
    two = edited(one, 1, 15)
    three = edited(two, 2, 15) + " And so on."
    found = judged(texts(one=one, two=two, three=three), tmp_path, threshold=0.7)
    assert {("one", "three", 3), ("two", "three", 3)} == {(v.id, v.twin, v.members) for v in found.values()}
    assert found["one"].similarity < 0.7 <= found["two"].similarity


def test_every_band_ends_in_one_way(tmp_path: Path) -> None:
    """In a pair, alone, or beside texts that are not alike: with the similarity and the threshold."""
    tasks = texts(a=document(1), b=edited(document(1), 1), c=document(2))
    bands = try_stage(Bands(), try_stage(Sign(), tasks, tmp_path / "sign").tasks, tmp_path / "bands").tasks
    assert 3 * 14 == len(bands)
    out = try_stage(Candidates(threshold=1.0), bands, tmp_path / "candidates")
    assert [] == out.tasks
    assert {"no other text in its band", "no text in its band is alike"} == {row["reason"] for row in out.dropped}
    row = next(row for row in out.dropped if row.get("value"))
    assert (0.8 < row["value"] < 1, 1.0, "similarity") == (True, row["threshold"], row["measure"])


def test_a_text_without_words_has_no_bands(tmp_path: Path) -> None:
    """And no twin."""
    out = try_stage(Bands(), try_stage(Sign(), texts(a="..."), tmp_path / "sign").tasks, tmp_path / "bands")
    assert ["no words to compare"] == [row["reason"] for row in out.dropped]


def kept_list(tasks: list[TextTask], folder: Path) -> InputFile:
    """What a run publishes of these."""
    signed = try_stage(Sign(), tasks, folder / "sign").tasks
    kept = try_stage(Kept(), signed, folder / "kept").tasks
    try_stage(WriteKept(os.fspath(folder)), kept, folder / "write")
    return InputFile(folder / "dedup" / "kept.parquet")


def signed_against(listed: InputFile, tasks: list[TextTask], folder: Path, **how: float) -> Outcome:
    """New texts beside an earlier list."""
    return try_stage(Sign(against=[listed], **how), tasks, folder / "against")  # type: ignore[arg-type]


def test_what_an_earlier_run_kept_wins(tmp_path: Path) -> None:
    """Though the new one is longer; the old twin is named, and not returned."""
    listed = kept_list(texts(**documents("old", range(20))), tmp_path / "old")
    new = texts(same=document(3), longer=with_notice(document(5)), other=document(50), empty="...")
    out = signed_against(listed, new, tmp_path)
    assert ["other", "empty"] == [task.id for task in out.tasks]
    assert ["same", "longer"] == [row["id"] for row in out.dropped]
    assert "old003 (1.0)" == out.dropped[0]["value"]
    assert out.dropped[1]["value"].startswith("old005 (0.9")


def test_an_earlier_list_may_be_of_texts_without_words(tmp_path: Path) -> None:
    """Then nothing is like it."""
    listed = kept_list(texts(a="..."), tmp_path / "old")
    assert 1 == len(signed_against(listed, texts(b=document(1)), tmp_path).tasks)


def test_signatures_that_were_made_otherwise_are_refused(tmp_path: Path) -> None:
    """They cannot be compared; the message says how both were made."""
    listed = kept_list(texts(a=document(1)), tmp_path / "old")
    with pytest.raises(StageError, match=r"made with R-MinHash 2, 5 words, 14 x 8, seed 1; these .* 7 words, 14 x 8"):
        signed_against(listed, texts(b=document(1)), tmp_path, n=7)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"bands": 0}, "bands: 0: expected at least 1"), ({"threshold": 1.5}, "threshold: 1.5: expected more than 0")],
)
def test_numbers_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    """Before anything starts."""
    with pytest.raises(ConfigError, match=message):
        Sign(**options)  # type: ignore[arg-type]
