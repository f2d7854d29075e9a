"""The parts of the page that are pure: text, samples, histograms, thresholds, the graph, embedded data."""

from __future__ import annotations

from array import array

import msgspec
import pytest
from planned import planned

from hpcurate.report.page import dag
from hpcurate.report.page.fields import numbers, texts
from hpcurate.report.page.gather import final_stages
from hpcurate.report.page.measures import Threshold, Values, measure_of
from hpcurate.report.page.pictures import candidates
from hpcurate.report.page.render import embedded
from hpcurate.report.page.samples import Fate, Group, Samples, fair, mixed
from hpcurate.report.page.text import number, share, shown, size, span
from hpcurate.report.page.thresholds import threshold_of_drop, thresholds_of
from hpcurate.report.rows import label_of


def test_what_cannot_be_seen_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Line ends, marks of direction, bytes that are no text; secrets are masked; all else stays, markup too."""
    monkeypatch.setenv("MY_TOKEN", "open-sesame-4711")
    assert "a\\nb\\u202ec\\xffd <i> é ***MY_TOKEN***" == shown("a\nb\u202ec\udcffd <i> é open-sesame-4711")
    assert "a\nb" == shown("a\nb", lines=True)


def test_numbers_are_short() -> None:
    """Three digits, thin spaces, units."""
    values = (0.25713, 12, 123456, 1234.56, -0.5, None, float("nan"))
    assert ["0.257", "12", "123\u202f456", "1\u202f235", "\u22120.5", "–", "–"] == [number(value) for value in values]
    assert ["0\u202f%", "< 1\u202f%", "33\u202f%"] == [share(part, 300) for part in (0, 1, 100)]
    assert ["12\u202fB", "1.2\u202fGB"] == [size(12), size(1.23e9)]
    spans = [span(seconds) for seconds in (0.5, 42, 300, 7200, 4.5e6)]
    assert ["0.5\u202fs", "42\u202fs", "5.0\u202fmin", "2.0\u202fh", "1\u202f250\u202fh"] == spans


def test_a_row_gives_numbers_and_texts() -> None:
    """Numbers of dicts in it, too; no truth values; texts wherever they are, but no paths."""
    row = {
        "id": "x", "weight": 2, "path": "/a b/some long name of a file.mp4", "good": True, "motion": 0.5, "nan": float("nan"),
        "huge": 10**400, "infinite": float("inf"),
        "scores": {"cat": 1, "name": "c"}, "windows": [{"caption": "a dog runs over the grass"}], "codec": "h264",
    }  # fmt: skip
    assert [("motion", 0.5), ("scores.cat", 1)] == list(numbers(row))
    assert [("caption", "a dog runs over the grass")] == texts(row)


def test_a_task_is_called_by_its_file_and_span() -> None:
    """By its id, where it has no file."""
    assert "a.mp4, 1.0–2.5 s" == label_of({"source": "a.mp4", "start_s": 1, "end_s": 2.5, "id": "x"})
    assert "x" == label_of({"id": "x"})
    carried = {"source": "a.mp4", "start_s": 1.0, "end_s": 2.5}
    assert "a.mp4, 1.0–2.5 s" == label_of({"values": carried, "files": {}, "id": "x"}), "a Record was called by its id"


def test_each_kind_of_end_has_its_share() -> None:
    """What small groups leave goes to the others; the same tasks whatever the order; what was kept comes first."""
    assert [2, 4, 4] == fair([2, 100, 90], 10)
    assert [2, 3, 0] == fair([2, 3, 0], 10)
    kept, dropped = Group(Fate.KEPT, "a"), Group(Fate.DROPPED, "a", "dark")
    chosen = []
    for order in (1, -1):
        samples = Samples(most=50)
        for group, count in ((dropped, 3), (kept, 1000)):
            for place in range(count)[::order]:
                samples.offer(group, {"id": f"{group.reason}{place}"})
        chosen.append([item.row["id"] for item in mixed(samples.chosen(10))])
        assert 1003 == samples.offered
    assert chosen[0] == chosen[1]
    assert (10, 3) == (len(chosen[0]), sum("dark" in one for one in chosen[0]))
    assert ["dark" in one for one in chosen[0][:4]] == [False, True, False, True]


def test_a_histogram_has_all_values_and_the_threshold() -> None:
    """Counts of what was kept and dropped; far outliers are in the last bin; whole numbers have a bin each."""
    values = Values(kept=array("d", [i / 1000 for i in range(1000)]), dropped=array("d", [-0.5, 1e6]))
    made = measure_of("m", "s", values, Threshold(least=-1)).histogram
    assert (1000, 2) == (sum(made.kept), sum(made.dropped))
    assert made.low == -1
    assert made.high < 2
    assert made.above
    assert 0 == made.place(-1)
    whole = measure_of("m", "s", Values(kept=array("d", [1, 1, 3])), None).histogram
    assert (2, 0, 1) == whole.kept
    decades = measure_of("m", "s", Values(kept=array("d", [10.0**i for i in range(8)])), None).histogram
    assert decades.log
    assert 0.5 == pytest.approx(decades.place(10**3.5))


def test_one_value_has_a_histogram() -> None:
    """Where all tasks have the same."""
    made = measure_of("m", "s", Values(kept=array("d", [5.0, 5.0])), Threshold(least=5.0))
    assert (2, 5.0) == (sum(made.histogram.kept), made.median)


@pytest.mark.parametrize(
    ("stage", "parameters", "expected"),
    [
        ("Motion", {"threshold": 0.25}, {"motion": Threshold(least=0.25)}),
        ("Quality", {"min_black": 0.1, "max_black": 0.5}, {"black": Threshold(0.1, 0.5)}),
        ("Aesthetic", {"min_score": 4.5}, {"aesthetic_score": Threshold(least=4.5)}),
        ("TextShare", {"max_share": 0.1}, {"text_share": Threshold(most=0.1)}),
        ("Split", {"threshold": 27, "min_s": 2.0, "max_pixels": True}, {}),
    ],
)
def test_parameters_are_thresholds_of_measures(
    stage: str, parameters: dict[str, object], expected: dict[str, Threshold]
) -> None:
    """As the filters that come with hpcurate call them."""
    assert expected == thresholds_of([(stage, parameters)], {"motion", "black", "aesthetic_score", "text_share"})


def test_a_drop_says_what_was_asked() -> None:
    """From the side on which its value is."""
    assert ("m", Threshold(least=2)) == threshold_of_drop({"measure": "m", "value": 1, "threshold": 2})
    assert ("m", Threshold(most=2)) == threshold_of_drop({"measure": "m", "value": 3.5, "threshold": 2})
    assert threshold_of_drop({"measure": "m", "value": "x", "threshold": "y"}) is None
    assert threshold_of_drop({"reason": "r"}) is None


def test_pictures_are_sought_within_the_store() -> None:
    """A preview before the clip, the source last; nothing that leads out of the store."""
    files = "s-0123456789ab/shards/0001-000/0001-000000/files/x"
    row = {
        "path": "/in/a.mp4", "clip": f"{files}/c.mp4", "preview": f"{files}/p.webp", "more": [f"{files}/d.parquet"],
        "evil": f"{files}/../../../../../../x.png", "root": "/etc/x.png",
    }  # fmt: skip
    assert [f"/store/{files}/p.webp", f"/store/{files}/c.mp4", "/in/a.mp4"] == candidates(row, "/store")


def test_the_graph_is_wrapped_like_text() -> None:
    """Layers by the longest way; a join stands after all that it reads; every box has its place and every arrow an end."""
    boxes = [
        dag.Box(name="input"), dag.Box(name="a", after=("input",)), dag.Box(name="b", after=("a",)),
        dag.Box(name="c", after=("input",)), dag.Box(name="<join>", after=("b", "c"), target="x"),
    ]  # fmt: skip
    assert {"input": 0, "a": 1, "b": 2, "c": 1, "<join>": 3} == dag.layers(boxes)
    where, bottoms = dag.places(boxes, 2)
    assert (1, 2) == (where["<join>"].row, len(bottoms))
    assert len({(place.x, place.y) for place in where.values()}) == len(boxes)
    drawn = dag.graph(boxes, 2, "label")
    assert "&lt;join&gt;" in drawn
    assert 5 == drawn.count("marker-end")


def test_embedded_data_ends_no_script() -> None:
    """Whatever it holds, and it reads as it was."""
    text = embedded({"a": "</script><!--<script>&", "b": "\u2028"})
    assert not {"<", ">", "&", "\u2028"} & set(text)


def test_items_are_those_of_the_last_stages_that_made_any() -> None:
    """While a run works, those of an earlier stage; a stage that makes one task of all is no last one."""
    stages = [
        msgspec.structs.replace(planned(), name=name, after=after)
        for name, after in (("a", ()), ("b", ("a",)), ("c", ("a",)), ("sum", ("c",)))
    ]
    assert {"b", "c"} == final_stages(stages, {"a": (9, 90), "b": (90, 90), "c": (90, 80), "sum": (80, 1)})
    assert {"b", "a"} == final_stages(stages, {"a": (9, 90), "b": (90, 90)})
    assert {"a"} == final_stages(stages, {})
