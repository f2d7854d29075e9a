"""Filter and Classify: from answers to what is kept, and why the rest is dropped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")

from checkout import ROOT
from golden import assert_golden
from PIL import Image
from video_help import cut_clips, make_video

from hpcurate import WorkerInfo
from hpcurate.errors import ConfigError
from hpcurate.testing import Outcome, try_stage
from stages.language.asks import Answer, Ask, Generate, Ready, answer_of
from stages.language.classify import TYPES, Classify
from stages.language.engine import Engine
from stages.language.filter import CRITERIA, Filter
from stages.language.json_answer import Malformed
from stages.language.judges import MALFORMED, MOST_SHOWN, NO_WINDOWS, Judges, reason_to_drop
from stages.language.windows import Window
from stages.video.tasks import ClipTask
from stages.vision.tasks import ImageTask

pytestmark = pytest.mark.video

UNREAD = None
"""Stands for the faults of a window whose answer is malformed."""


class Scripted(Engine):
    """Answers as it was made to, window by window, and keeps what it was asked."""

    def __init__(self, texts: Sequence[str], *, whole: bool = True) -> None:
        super().__init__("scripted", Generate(), {}, {})
        self.texts, self.whole, self.asked = list(texts), whole, list[Ask]()

    def start(self, worker: WorkerInfo) -> None:
        """Nothing to load."""

    def answers(self, asked: Sequence[Ready]) -> list[Answer]:
        """The next ones."""
        self.asked += [ready.ask for ready in asked]
        return [answer_of(self.texts.pop(0), whole=self.whole, prompt_tokens=9, output_tokens=9) for _ in asked]


def scripted(stage: Judges, texts: Sequence[str], *, whole: bool = True) -> Scripted:
    """The stage's engine from now on."""
    stage.model = Scripted(texts, whole=whole)
    return stage.model


def make(kind: type[Any], **parameters: Any) -> Any:
    """A stage that has windows of six frames."""
    return kind(**{"backend": "vllm", "windows": {"frames": 6, "remainder": 3}, **parameters})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipTask:
    """A second: 24 frames, so four windows."""
    folder = tmp_path_factory.mktemp("clip")
    return cut_clips(make_video(folder / "v.mp4", frames=24), folder, method="stride", stride_s=1.0, min_s=0.1)[0]


def judged(stage: Judges, clip: Any, texts: Sequence[str], folder: Path, *, whole: bool = True) -> Outcome:
    """What becomes of the clip."""
    scripted(stage, texts, whole=whole)
    outcome = try_stage(stage, [clip], folder / "trial")
    assert [] == outcome.failed
    return outcome


def says(**holds: bool) -> str:
    """A filter's answer to all criteria."""
    return json.dumps(dict.fromkeys(CRITERIA, False) | holds)


NOTHING, DARK, SHAKY = says(), says(dark=True), says(shaky=True)


# -- what drops a clip -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "most", "reason"),
    [
        ([[], []], 0.5, None),
        ([["dark"], []], 0.5, None),
        ([["dark"], ["dark"], []], 0.5, "dark"),
        ([["dark"], ["shaky"], []], 0.5, "dark"),
        ([["dark"], ["dark", "shaky"], ["shaky"], ["shaky"]], 0.5, "shaky"),
        ([["dark"]], 1.0, None),
        ([["dark"], *[[]] * 9], 0.1, None),
        ([*[["dark"]] * 29, *[[]] * 71], 0.29, None),
        ([["dark"], *[[]] * 9], 0.0, "dark"),
        ([["dark"]], None, None),
        ([UNREAD], 0.5, MALFORMED),
        ([UNREAD, [], [], []], 0.5, MALFORMED),
        ([UNREAD, ["dark"], [], []], 0.5, MALFORMED),
        ([UNREAD, ["dark"], ["dark"], ["dark"]], 0.5, "dark"),
        ([UNREAD], 1.0, MALFORMED),
        ([[], UNREAD], None, MALFORMED),
        ([], 0.5, NO_WINDOWS),
        ([], None, None),
    ],
)
def test_more_than_a_share_of_its_windows_drops_a_clip(
    faults: list[list[str] | None], most: float | None, reason: str | None
) -> None:
    """What was read decides if it is enough; else one answer that could not be read is: the clip never passes."""
    assert reason == reason_to_drop(faults, most)


def test_windows_of_a_clip_that_stays_keep_what_they_meet(clip: ClipTask, tmp_path: Path) -> None:
    """A criterion beside each window; the caption's fields are left alone."""
    outcome = judged(make(Filter), clip, [NOTHING, DARK, says(dark=True, shaky=True), NOTHING], tmp_path)
    (kept,) = outcome.tasks
    assert [[], ["dark"], ["dark", "shaky"], []] == [window.rejected_for for window in kept.windows]
    assert {(None, None, None)} == {(w.caption, w.prompt_tokens, w.types) for w in kept.windows}


def test_a_clip_is_dropped_for_what_most_of_its_windows_meet(clip: ClipTask, tmp_path: Path) -> None:
    """One reason, that is the name of a criterion; the row of the dropped clip has all of them."""
    outcome = judged(make(Filter), clip, [NOTHING, DARK, says(dark=True, borders=True), SHAKY], tmp_path)
    assert {"dark": 1} == outcome.counts.reasons
    windows = outcome.dropped[0]["task"]["windows"]
    assert [[], ["dark"], ["borders", "dark"], ["shaky"]] == [window["rejected_for"] for window in windows]


@pytest.mark.parametrize("kind", [Filter, Classify])
@pytest.mark.parametrize("text", ["", "I'm sorry, I can't.", '{"dark": false', "{}"])
def test_an_answer_that_cannot_be_read_never_passes(
    kind: type[Judges], text: str, clip: ClipTask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where nothing else would drop a clip; the log has what was said, and why it is none."""
    good = NOTHING if kind is Filter else '{"types": ["city"]}'
    outcome = judged(make(kind, max_rejected=None), clip, [good, text, good, good], tmp_path)
    assert {MALFORMED: 1} == outcome.counts.reasons
    assert f"'v.mp4': {clip.id}, frames 6 … 11: malformed answer: " in capsys.readouterr().out
    assert "malformed answer" == MALFORMED, "people search for this word in reports"


def test_an_answer_that_was_cut_off_is_none(clip: ClipTask, tmp_path: Path) -> None:
    """Even if it has an object: the model had not finished, and may have been about to correct it."""
    outcome = judged(make(Filter), clip, [NOTHING] * 4, tmp_path, whole=False)
    assert {MALFORMED: 1} == outcome.counts.reasons


def test_what_is_asked_for_is_no_answer(clip: ClipTask, tmp_path: Path) -> None:
    """A model that repeats the question, or the form of the answer, has said nothing."""
    for kind in (Filter, Classify):
        stage = make(kind)
        for text in (stage.asked("video"), stage.asked("video").rpartition("explanation: ")[2]):
            assert isinstance(stage.read(text), Malformed)


def test_a_log_is_not_filled_with_answers(clip: ClipTask, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that cannot do it says so in each of a million windows."""
    stage = make(Filter, windows={"frames": 4, "remainder": 1})
    for number in range(5):
        judged(stage, clip, ["\ud800 no"] * 6, tmp_path / str(number))
    assert MOST_SHOWN == capsys.readouterr().out.count(MALFORMED)


def test_a_filter_that_only_notes_drops_nothing(clip: ClipTask, tmp_path: Path) -> None:
    """`max_rejected=null`."""
    outcome = judged(make(Filter, max_rejected=None), clip, [DARK] * 4, tmp_path)
    assert [["dark"]] * 4 == [window.rejected_for for window in outcome.tasks[0].windows]


def test_a_clip_too_short_for_a_window_is_not_passed_unseen(clip: ClipTask, tmp_path: Path) -> None:
    """Nobody was asked about it; a stage that only notes keeps it."""
    clip = ClipTask(**{**fields(clip), "frames": 3})
    assert {NO_WINDOWS: 1} == judged(make(Filter), clip, [], tmp_path / "f").counts.reasons
    assert {NO_WINDOWS: 1} == judged(make(Classify, block=["city"]), clip, [], tmp_path / "b").counts.reasons
    assert 1 == judged(make(Classify), clip, [], tmp_path / "c").counts.passed


def fields(clip: ClipTask) -> dict[str, Any]:
    """Of a clip, for another one like it."""
    import attrs

    return {field.name: getattr(clip, field.name) for field in attrs.fields(ClipTask) if field.init}


def test_an_image_is_one_window_and_is_called_an_image(tmp_path: Path) -> None:
    """In the question."""
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / "a.png")
    image = ImageTask(id="a", source="a.png", path=str(tmp_path / "a.png"), width=48, height=32)
    stage = make(Filter)
    engine = scripted(stage, [DARK])
    outcome = try_stage(stage, [image], tmp_path / "trial")
    assert {"dark": 1} == outcome.counts.reasons
    (ask,) = engine.asked
    assert (1, ()) == (len(ask.pictures), ask.times_s)
    assert ask.prompt.startswith("Look at this image.")


# -- types -------------------------------------------------------------------------------------------

CITY, ANIMALS, NONE, BOTH = ({"types": some} for some in (["city"], ["animals"], [], ["city", "animals"]))


@pytest.mark.parametrize(
    ("lists", "answers", "reason"),
    [
        ({}, [CITY, NONE, BOTH, ANIMALS], None),
        ({"block": ["city"]}, [CITY, CITY, NONE, ANIMALS], None),
        ({"block": ["city"]}, [CITY, CITY, BOTH, ANIMALS], "type city is blocked"),
        ({"block": ["city"], "max_rejected": 0}, [CITY, NONE, NONE, NONE], "type city is blocked"),
        ({"block": ["city", "animals"]}, [BOTH, ANIMALS, ANIMALS, NONE], "type animals is blocked"),
        ({"allow": ["city"]}, [CITY, BOTH, NONE, ANIMALS], None),
        ({"allow": ["city"]}, [CITY, NONE, NONE, ANIMALS], "no allowed type"),
        ({"allow": ["city", "animals"]}, [CITY, ANIMALS, BOTH, NONE], None),
        ({"allow": ["city"], "block": ["animals"]}, [BOTH, BOTH, BOTH, CITY], "type animals is blocked"),
        ({"allow": ["city"], "block": ["animals"]}, [NONE, NONE, BOTH, CITY], "no allowed type"),
        ({"allow": ["city"], "max_rejected": None}, [NONE, NONE, NONE, NONE], None),
    ],
)
def test_a_window_is_rejected_for_its_types(
    lists: dict[str, Any], answers: list[Any], reason: str | None, clip: ClipTask, tmp_path: Path
) -> None:
    """It has one that is blocked, or none that is allowed; more than the share of such windows drops the clip."""
    outcome = judged(make(Classify, **lists), clip, [json.dumps(one) for one in answers], tmp_path)
    assert ({reason: 1} if reason else {}) == outcome.counts.reasons
    for task in outcome.tasks:
        assert [sorted(one["types"]) for one in answers] == [sorted(window.types or ()) for window in task.windows]


# -- configuration -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        (Filter, {"criteria": ["watermarks"]}, "criteria: 'watermarks' is none of ours; did you mean 'watermark'?"),
        (Filter, {"criteria": {"guns": None}}, "criteria: 'guns' is none of ours"),
        (Filter, {"criteria": {"guns": " "}}, "criteria.guns=' ': expected what it means"),
        (Filter, {"criteria": {"guns": 3}}, "criteria.guns=3: expected what it means"),
        (Filter, {"criteria": []}, "criteria: expected at least one"),
        (Filter, {"criteria": {"?!": "odd"}}, "criteria: '?!': expected a name"),
        (Filter, {"criteria": {"a, b": "odd"}}, "criteria: 'a, b': expected a name"),
        (Filter, {"criteria": {False: "YAML's no"}}, "criteria: False: expected a name"),
        (Filter, {"criteria": {"dark": None, "Dark": "at night"}}, "criteria: 'dark' and 'Dark' are one name"),
        (Filter, {"max_rejected": 50}, "max_rejected: 50: expected a number from 0 to 1"),
        (Filter, {"prompt": "Is it good?"}, "prompt: {criteria} is missing"),
        (Filter, {"prompt": "defualt"}, "did you mean 'default'?"),
        (Classify, {"prompt": "What is it? {criteria}"}, "prompt: {types} is missing"),
        (Classify, {"types": ["cities"]}, "types: 'cities' is none of ours; did you mean 'city'?"),
        (Classify, {"allow": ["animal"]}, "allow: 'animal': there is no such type; did you mean 'animals'?"),
        (Classify, {"block": "citty"}, "block: 'citty': there is no such type; did you mean 'city'?"),
        (
            Classify,
            {"types": ["city"], "block": ["animals"]},
            "block: 'animals': there is no such type; there are: city",
        ),
        (Classify, {"allow": ["city"], "block": ["city"]}, "allow and block: both name 'city'"),
    ],
)
def test_what_nobody_could_have_meant_is_refused(kind: type[Any], parameters: dict[str, Any], message: str) -> None:
    """Before anything is submitted."""
    with pytest.raises(ConfigError) as refused:
        make(kind, **parameters)
    assert message in str(refused.value)


def test_criteria_are_ours_some_of_ours_or_ones_own() -> None:
    """What is given is all there is."""
    assert CRITERIA == make(Filter).criteria
    assert {"dark": CRITERIA["dark"]} == make(Filter, criteria="dark").criteria
    own = make(Filter, criteria={"guns": "A gun is shown.", "dark": None}, prompt="In this {kind}:\n{criteria}\nSo?")
    assert ["guns"] == own.read('{"guns": true, "dark": false}')
    assert own.asked("image") == (
        f"In this image:\n- guns: A gun is shown.\n- dark: {CRITERIA['dark']}\nSo?\n\nAnswer with one JSON object and "
        'nothing else, no explanation: {"guns": true|false, "dark": true|false}'
    )


def test_the_questions_as_they_are_asked() -> None:
    """Golden: whoever changes a word raises `version` of the stage, as its answers may be others."""
    asked = [f"{kind.__name__}, version {kind.version}\n\n{make(kind).asked('video')}\n" for kind in (Filter, Classify)]
    assert_golden("questions-of-filters.txt", "\n".join(asked))


def test_the_page_lists_what_is_asked() -> None:
    """Each criterion and each type, with the words that the model is asked with."""
    page = (ROOT / "docs" / "captions.md").read_text()
    missing = [name for name, text in (CRITERIA | TYPES).items() if f"| `{name}` | {text} |" not in page]
    assert [] == missing


def test_windows_that_were_there_are_kept(clip: ClipTask, tmp_path: Path) -> None:
    """The first stage of a pipeline that cuts windows decides for all."""
    clip = ClipTask(**{**fields(clip), "windows": [Window(start_frame=0, end_frame=23)]})
    outcome = judged(make(Filter), clip, [NOTHING], tmp_path)
    assert [(0, 23, [])] == [(w.start_frame, w.end_frame, w.rejected_for) for w in outcome.tasks[0].windows]
