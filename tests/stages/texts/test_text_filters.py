"""Texts are read from tables with all their columns; their language is identified; bad ones are dropped with a value."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from hpcurate.errors import ConfigError
from hpcurate.testing import try_stage
from stages.texts.language import LANGUAGES, Language, load_model
from stages.texts.measures import MEASURES
from stages.texts.quality import Quality
from stages.texts.tasks import Texts, TextTask

pytest.importorskip("py3langid", reason="the text extra is not installed")

SENTENCES = {
    "ar": "ولد جميع الناس أحرارا متساوين في الكرامة والحقوق.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.",
    "en": "All human beings are born free and equal in dignity and rights.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "hi": "सभी मनुष्य गरिमा और अधिकारों की दृष्टि से जन्म से स्वतंत्र और समान हैं।",
    "ja": "すべての人間は、生まれながらにして自由であり、尊厳と権利とについて平等である。",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "ru": "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "zh": "人人生而自由，在尊严和权利上一律平等，他们赋有理性和良心。",
}
"""The first article of the Universal Declaration of Human Rights, or its beginning."""
GOOD = (
    "The harbour lies to the north of the old town, and most of the boats that leave it in the morning have been there "
    "for years.\nPeople who live on the hill say that they can tell the weather from the colour of the water. When it "
    "turns green, rain will come within a day, and everybody who has washing on the line will be running.\nNobody has "
    "ever written these rules down, but children learn them with the alphabet."
)


def texts(*given: str, **fields: str) -> list[TextTask]:
    """Tasks with the ids 0, 1, …"""
    return [TextTask(id=str(number), text=text, **fields) for number, text in enumerate(given)]


def test_the_language_of_a_sentence_is_identified(tmp_path: Path) -> None:
    """Twelve languages in eight scripts; what has no letters has none."""
    out = try_stage(Language(min_score=0), texts(*SENTENCES.values(), "12 + 3"), tmp_path)
    assert [*SENTENCES, "und"] == [task.language for task in out.tasks]


def test_languages_that_are_not_wanted_are_dropped(tmp_path: Path) -> None:
    """With what was found and what was asked for; so is what is not clear."""
    out = try_stage(
        Language(["en"], min_score=0.9), texts(SENTENCES["de"], SENTENCES["en"], "la le", "ok thanks"), tmp_path
    )
    assert ["1"] == [task.id for task in out.tasks]
    assert ["another language", "another language", "language not clear"] == [row["reason"] for row in out.dropped]
    assert ("de", "en") == (out.dropped[0]["value"], out.dropped[0]["threshold"])


def test_only_the_beginning_of_a_text_is_looked_at(tmp_path: Path) -> None:
    """As far as `characters`."""
    both = f"{SENTENCES['de']} {SENTENCES['ru'] * 20}"
    languages = [
        try_stage(Language(characters=n), texts(both), tmp_path / str(n)).tasks[0].language for n in (60, 2000)
    ]
    assert ["de", "ru"] == languages


def test_a_language_without_a_model_is_refused() -> None:
    """Before anything runs, with what was meant, or those that there are."""
    with pytest.raises(ConfigError, match=r"keep_languages: 'EN': no such code; did you mean 'en'\?"):
        Language(["de", "EN"])
    with pytest.raises(ConfigError, match=r"keep_languages: 'xx': no such code; there are: .* en, "):
        Language(["xx"])


def test_the_codes_are_those_of_the_model() -> None:
    """They are written down, as no stage loads a model to be made."""
    assert tuple(sorted(load_model().labels)) == LANGUAGES


def test_a_good_text_passes_with_its_measures(tmp_path: Path) -> None:
    """All four sets of rules."""
    (task,) = try_stage(Quality(), texts(GOOD), tmp_path).tasks
    assert (80, 8, 4) == tuple(task.quality[name] for name in ("words", "stop_words", "sentences"))
    assert set(MEASURES) == set(task.quality)


def test_a_bad_text_is_dropped_at_the_first_bound(tmp_path: Path) -> None:
    """The row has the measure, its value and the threshold, which the report draws."""
    out = try_stage(Quality(), texts("Too short.", GOOD + "\n" + GOOD, GOOD + " {"), tmp_path)
    assert [] == out.tasks
    assert [
        ("words below 50", 2, 50, "quality.words"),
        ("repeated_lines above 0.3", 0.5, 0.3, "quality.repeated_lines"),
        ("curly_brackets above 0", 1, 0, "quality.curly_brackets"),
    ] == [(row["reason"], row["value"], row["threshold"], row["measure"]) for row in out.dropped]


def test_bounds_are_the_users(tmp_path: Path) -> None:
    """None of the rules, one bound of one's own, and nothing recorded."""
    out = try_stage(Quality([], least={"words": 3}, record=False), texts("a b", "a b c"), tmp_path)
    assert [("1", {})] == [(task.id, task.quality) for task in out.tasks]


def test_the_columns_of_a_table_travel_with_its_texts(tmp_path: Path) -> None:
    """Under `data`; the text and the id may be called otherwise, and may be missing."""
    rows = [{"url": "http://a", "content": "one", "key": 7, "n": [1]}, {"content": None}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = Texts(f"{tmp_path}/*.jsonl", text="content", id="key").tasks()
    assert ("7", "one", {"url": "http://a", "n": [1]}) == (first.id, first.text, first.data)
    assert ("", {}) == (second.text, second.data)


def test_equal_rows_without_an_id_are_several_texts(tmp_path: Path) -> None:
    """Which of them is kept is not for the source to say. Ids depend on what is in a row, not on where it stands."""
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n{"text": "a"}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "a"}\n{"text": "a"}\n{"text": "b"}\n')
    one, other = ([task.id for task in Texts(f"{tmp_path}/{name}.jsonl").tasks()] for name in "ab")
    assert (3, sorted(one)) == (len(set(one)), sorted(other))


def test_parquet_and_jsonl_give_the_same_texts(tmp_path: Path) -> None:
    """The same ids for rows without one."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"text": "one", "url": "u"}, {"text": "two", "url": "v"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    one, other = (list(Texts(f"{tmp_path}/a.{end}").tasks()) for end in ("jsonl", "parquet"))
    assert one == other


def test_compressed_lines_give_the_same_texts(tmp_path: Path) -> None:
    """Broken ones are refused with their name."""
    lines = b'{"text": "one"}\n\n{"text": "two"}\n'
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    assert list(Texts(f"{tmp_path}/a.jsonl").tasks()) == list(Texts(f"{tmp_path}/a.jsonl.gz").tasks())
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines)[:-9])
    with pytest.raises(ConfigError, match=r"a.jsonl.gz: cannot be read as gzip: "):
        list(Texts(f"{tmp_path}/a.jsonl.gz").tasks())


def test_a_table_of_another_kind_is_refused() -> None:
    """Before anything is read."""
    with pytest.raises(ConfigError, match=r"input=a.txt: expected a name that ends in .jsonl"):
        Texts("a.txt")


def test_a_class_of_ones_own_is_one_of_texts() -> None:
    """Else no stage takes it."""
    with pytest.raises(ConfigError, match=r"source.task=hpcurate.FileTask: is no class of stages.texts.tasks.TextTask"):
        Texts("a.jsonl", task="hpcurate.FileTask")


def test_a_column_of_another_name_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    """All rows were empty texts, and dropped without a word; a row without a text beside others is an empty one."""
    (tmp_path / "a.jsonl").write_text('{"content": "x", "url": "y"}\n')
    with pytest.raises(ConfigError, match=r"a\.jsonl:1: no column 'text'; there are: content, url; set source\.text="):
        list(Texts(f"{tmp_path}/a.jsonl").tasks())
    (tmp_path / "a.jsonl").write_text('{"url": "y"}\n{"text": "x"}\n')
    assert ["", "x"] == [task.text for task in Texts(f"{tmp_path}/a.jsonl").tasks()]


def test_a_column_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """With the key that names another."""
    (tmp_path / "a.jsonl").write_text('{"text": 5}\n')
    with pytest.raises(ConfigError, match=r"a.jsonl:1: text: expected text, got 5; set source.text=COLUMN"):
        list(Texts(f"{tmp_path}/a.jsonl").tasks())
