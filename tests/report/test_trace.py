"""The story of an item: every step of it is a row, and none is left out."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import attrs
import pytest
from films import Films, copy_of, film_run
from shell import Shell

import hpcurate
from hpcurate import Retry
from hpcurate.cli.verbs.trace import candidate_lines, provenance_lines, trace_lines
from hpcurate.errors import StoreError
from hpcurate.report.results import results_of
from hpcurate.report.run_view import RunView
from hpcurate.report.story import Became, Story
from hpcurate.report.trace import Ambiguous
from hpcurate.runs.folder import Run
from hpcurate.store.heartbeat import AtWork, Beat, encoded
from hpcurate.store.layout import StageFolder, Store


def steps(story: Story) -> list[tuple[str, str]]:
    """Stage and what became of it there."""
    return [(step.stage, step.became.value) for step in story.steps]


def test_an_item_and_all_that_was_made_of_it(films: Films) -> None:
    """Down to what members of a chain made and dropped in memory, with measure and threshold."""
    film = films.story("a/one.mp4")
    assert [("split", "made")] == steps(film)
    scenes = film.steps[0].made
    assert [0, 1, 2, 3] == [scene.first["number"] for scene in scenes]
    blurred = scenes[0].steps[0]
    assert (Became.DROPPED, "Look", "blurred") == (blurred.became, blurred.member, blurred.reason)
    assert blurred.drop is not None
    assert ("sharpness", 0.0, 0.5) == (blurred.drop.measure, blurred.drop.value, blurred.drop.threshold)
    assert [("look", "made")] == steps(scenes[2])
    halves = scenes[2].steps[0].made
    assert [[("publish", "passed on"), ("whole", "made")]] * 2 == [steps(half) for half in halves]
    assert [Became.PASSED, Became.DROPPED] == [half.steps[0].became for half in scenes[3].steps[0].made]
    assert "second half" == scenes[3].steps[0].made[1].steps[0].reason
    for half in halves:
        assert "2\n" == Path(half.files[0]).read_text()
        assert [f"{films.folder}/out/scenes/{half.id[:2]}/{half.id}.txt"] == list(half.outputs)


def test_every_item_ends_somewhere(films: Films) -> None:
    """A drop with its reason, a dead letter with its error; a name that is no text and holds markup and a line."""
    dropped, failed = films.story("none").steps[0], films.story("bad").steps[0]
    assert (Became.DROPPED, "no scene") == (dropped.became, dropped.reason)
    assert (Became.FAILED, "ValueError: bad.mp4: cannot be split") == (failed.became, failed.reason)
    assert failed.letter is not None
    assert 2 == len(films.story("<b>\n\udcff").steps[0].made)


def test_a_part_of_a_name_may_fit_several(films: Films) -> None:
    """They are listed with what to type; the whole name is unmistakable."""
    with pytest.raises(Ambiguous) as found:
        films.trace("one.mp4")
    lines = candidate_lines("one.mp4", films.run, found.value.hits)
    assert "one.mp4: 2 items of" in lines[0]
    assert f"  hpcurate trace b/one.mp4 {films.run.name} --store {films.folder}/store" == lines[2]
    with pytest.raises(StoreError, match=r"its input has 5 items, e\.g\. a/one\.mp4"):
        films.trace("two.mp4")


def test_what_was_made_of_an_item_leads_back_to_it(films: Films) -> None:
    """By its id, or the beginning of it: only what led to it is told, and all that came of it."""
    half = films.story("a/one.mp4").steps[0].made[2].steps[0].made[1]
    found = films.trace(half.id[:13])
    assert half.id == found.focus
    [film] = found.stories
    [scene] = film.steps[0].made
    assert ("a/one.mp4", 3) == (film.name, film.steps[0].untold)
    assert [half.id] == [told.id for told in scene.steps[0].made]
    assert steps(half) == steps(scene.steps[0].made[0])


def test_what_was_made_of_many(films: Films) -> None:
    """Is made of each of them, and told once; by itself it is followed up to its parents, as long as these are few."""
    whole = [step for story in films.story("a/one.mp4").stories() for step in story.steps if step.stage == "whole"]
    assert [1, 0, 0, 0, 0] == [len(step.made) for step in whole]
    [made] = whole[0].made
    assert 9 == len(made.first["parents"])
    found = films.trace(made.id)
    assert {"a/one.mp4", "b/one.mp4", "<b>\n\udcff.mp4"} == {story.name for story in found.stories}
    assert "made of 9 tasks, source whole, number 9" in "\n".join(trace_lines(found))


def test_a_file_leads_back_to_its_item(films: Films) -> None:
    """One of the output and one of a shard: with the run, its configuration and code, and the input (D10)."""
    half = films.story("a/one.mp4").steps[0].made[2].steps[0].made[0]
    for path in (half.outputs[0], half.files[0]):
        found = films.trace(path)
        assert found.provenance is not None
        assert "a/one.mp4" == found.stories[0].name
        assert [films.run.name, "a/one.mp4"] == [found.provenance.run, found.provenance.input[0].path]
        assert ["split", "look", "publish", "whole"] == [stage.stage for stage in found.provenance.stages]
        assert os.path.isdir(found.provenance.code)
        assert hpcurate.__version__ == found.provenance.hpcurate
        assert all(len(line) <= 80 or " /" in line for line in provenance_lines(found.provenance))


def test_a_file_of_no_item_in_particular_still_has_its_run(films: Films) -> None:
    """Such as a table of all."""
    (films.folder / "out" / "table.parquet").touch()
    found = films.trace(str(films.folder / "out" / "table.parquet"))
    assert ((), 4) == (found.stories, len(found.provenance.stages) if found.provenance else 0)


def test_a_story_is_a_tree_in_plain_text(films: Films) -> None:
    """80 columns, one branch for each task; what is left out is counted."""
    lines = trace_lines(films.trace("a/one.mp4"), width=80, most=2)
    text = "\n".join(lines)
    assert "split  4 tasks made" in lines
    assert "│  look  dropped by Look: blurred" in lines
    assert "│        sharpness 0 (threshold 0.5)" in lines
    assert "       left out of it: 3 shorter than 2 s (4.1 s)" in lines
    assert "└─ and 2 more (--all): 2 made in look" in lines
    assert "\x1b" not in text
    assert all(len(line) <= 80 for line in lines if "/" not in line)


def test_a_name_of_two_lines_is_one_line(films: Films) -> None:
    """It looked like a line of ours: `a.mp4`, then `split  passed on`."""
    found = films.trace("a/one.mp4")
    story = attrs.evolve(found.stories[0], name="a.mp4\nsplit  passed on")
    lines = trace_lines(attrs.evolve(found, stories=(story,)))
    assert "a.mp4\\nsplit  passed on" in lines
    assert not [line for line in lines if "\n" in line]


def test_a_dead_letter_that_was_tried_again(films: Films, tmp_path: Path) -> None:
    """Both are told: how it failed, and what became of it then."""
    (films.folder / "bug").unlink()
    again = film_run(films.folder, copy_of(films, tmp_path), retry=Retry(run=films.run.name))
    first, then = again.story("bad.mp4").steps
    assert (Became.FAILED, True) == (first.became, first.retried)
    assert (Became.MADE, 13) == (then.became, len(then.made))
    assert "split  failed: ValueError: bad.mp4: cannot be split; tried again" in trace_lines(again.trace("bad.mp4"))


def test_a_run_in_the_middle(films: Films, tmp_path: Path) -> None:
    """What no worker has taken up waits for its stage; of what one has, its heartbeat says how far it is."""
    store = copy_of(films, tmp_path)
    [stage] = store.glob("stages/look-*")
    for path in (*stage.glob("shards/*/*"), *stage.glob("claims/*/0001-000000.*"), *stage.glob("done/*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = Films(films.folder, Run(Store(str(store)), films.run.name))
    waiting, working = (found.story("a/one.mp4").steps[0].made[k] for k in (0, 2))
    assert (Became.WAITS, "not yet taken up by look") == (waiting.steps[0].became, waiting.steps[0].reason)
    claim = json.loads((stage / "claims" / "0001-000" / "0001-000001.1").read_text())
    assert f"attempt 1 has not ended, worker {claim['worker']}" == working.steps[0].reason
    beat = Path(StageFolder(str(stage)).worker(claim["worker"]))
    beat.parent.mkdir(parents=True, exist_ok=True)
    at = AtWork(shard="0001-000001", tasks=2, done=0, task=working.id)
    beat.write_bytes(encoded(Beat(counter=b"7", node="n1", at_work=(at,))))
    lines = trace_lines(found.trace("a/one.mp4"))
    assert "│  look  waits: attempt 1 has not ended: 0 of 2 tasks done, in work: this one" in lines


def test_a_damaged_shard_is_named(films: Films, tmp_path: Path) -> None:
    """What became of an item there is not known, and nothing is left out without a word."""
    store = copy_of(films, tmp_path)
    [rows] = store.glob("stages/publish-*/shards/*/*/tasks.jsonl")
    rows.unlink()
    found = Films(films.folder, Run(Store(str(store)), films.run.name))
    half = found.story("a/one.mp4").steps[0].made[2].steps[0].made[0]
    assert (Became.UNKNOWN, f"{rows}: is gone, and had 9 rows") == (
        half.steps[0].became,
        half.steps[0].reason.split(";")[0],
    )
    with pytest.raises(StoreError, match="is gone, and had 9 rows"):
        list(results_of(RunView(found.run), "publish").rows())


def test_trace_is_typed(films: Films, shell: Shell) -> None:
    """The run of an output file is found by its path, without --store; JSON has what the tree leaves out."""
    half = films.story("a/one.mp4").steps[0].made[2].steps[0].made[0]
    text = shell.type("trace", half.files[0]).stdout
    assert f"{films.run.name}  complete" in text
    assert "where still.txt comes from" in text
    plain = shell.type("trace", "a/one.mp4", "--store", str(films.run.store.root), "--json").stdout
    assert '"sharpness": 0.0' in plain
    assert '"measure": "sharpness",' in plain
    assert '"threshold": 0.5' in plain
    assert "type one of" in shell.type("trace", "one", "--store", str(films.run.store.root), status=2).stderr
