"""Stages that ask for a JSON answer about each window, and drop clips for what they read in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from hpcurate import Resources
from hpcurate.errors import ConfigError
from hpcurate.fields import suggestion
from stages.language.asks import Answer, Ask
from stages.language.json_answer import Malformed, form_of
from stages.language.lenient_json import COMMA
from stages.language.prompts import prompt_of
from stages.language.windowed import AsksOfWindows, Seen
from stages.language.windows import Window
from stages.vision.tasks import VisualTask

MALFORMED, NO_WINDOWS = "malformed answer", "no windows"
"""Why a clip is dropped of which a window's answer cannot be read; of which no window could be asked about."""
MOST_SHOWN = 20
"""Malformed answers that one process prints."""


class Judges(AsksOfWindows):
    """Base: say what is asked, what an answer means (`read`), and for what a window is rejected (`faults`)."""

    resources = Resources(cpus=4, gpus=1, memory="48GB", time="8h")
    batch_size = 8
    max_rejected: float | None
    """A clip is dropped if more than this share of its windows is rejected; None: never."""
    _shown = 0

    # -- written by a subclass ----------------------------------------------------------------------

    def asked(self, kind: str) -> str:
        """The question. `kind`: video or image."""
        raise NotImplementedError

    def read(self, text: str) -> list[str] | Malformed:
        """The names that the answer says hold."""
        raise NotImplementedError

    def note(self, window: Window, names: list[str]) -> None:
        """Keep them with the window."""
        raise NotImplementedError

    def faults(self, names: Sequence[str]) -> list[str]:
        """What a window with these names is rejected for, in words that count as reasons; nothing: it is not."""
        raise NotImplementedError

    # -- used by the engine -------------------------------------------------------------------------

    def question(self, task: VisualTask, seen: Seen) -> Ask:
        """The same of all videos, and of all images."""
        return Ask(self.asked("video" if seen.times_s else "image"), pictures=seen.pictures, times_s=seen.times_s)

    def answered(self, task: VisualTask, windows: Sequence[tuple[Window, Answer]]) -> VisualTask | None:
        """The clip with what was said of its windows, unless that drops it."""
        faults = [self._faults(task, window, answer) for window, answer in windows]
        reason = reason_to_drop(faults, self.max_rejected)
        if reason in (MALFORMED, NO_WINDOWS):
            self.drop(task, reason)
        elif reason:
            self.drop(task, reason, value=rejected_share(faults), threshold=self.max_rejected)
        return None if reason else task

    def _faults(self, task: VisualTask, window: Window, answer: Answer) -> list[str] | None:
        """None: the answer is malformed."""
        names = read_whole(answer, self.read)
        if isinstance(names, Malformed):
            self._show(task, window, answer, names)
            return None
        self.note(window, names)
        return self.faults(names)

    def _show(self, task: VisualTask, window: Window, answer: Answer, malformed: Malformed) -> None:
        self._shown += 1
        if self._shown <= MOST_SHOWN:
            where = f"{task.source!r}: {task.id}, frames {window.start_frame} … {window.end_frame}"
            print(f"{where}: {MALFORMED}: {malformed.why}: {answer.text[:300]!r}", flush=True)


def read_whole(answer: Answer, read: Callable[[str], list[str] | Malformed]) -> list[str] | Malformed:
    """What is read in an answer; one that was cut off is none, even if an object can be read in it."""
    return Malformed("cut off at max_tokens") if answer.status == "truncated" else read(answer.text)


def reason_to_drop(faults: Sequence[Sequence[str] | None], max_rejected: float | None) -> str | None:
    """Why a clip is dropped, from the faults of each window (None: malformed). Pure.

    What was read decides if it is enough to drop the clip, whatever the rest may be; else each window has to be read.
    The reason is the fault of most windows; of equally many, the one that came first.
    """
    if max_rejected is None:
        return MALFORMED if None in faults else None
    if not faults:
        return NO_WINDOWS
    if rejected_share(faults) > max_rejected:
        return Counter(fault for one in faults for fault in one or ()).most_common(1)[0][0]
    return MALFORMED if None in faults else None


def rejected_share(faults: Sequence[Sequence[str] | None]) -> float:
    """Of the windows of a clip."""
    return sum(1 for one in faults if one) / len(faults)


# -- names in the configuration -----------------------------------------------------------------------


def texts_of(
    given: Sequence[str] | Mapping[str, str | None] | None, ours: Mapping[str, str], key: str
) -> dict[str, str]:
    """Names and what they mean: ours, some of ours by name, or others with their text (None: our text of that name).

    Raises ConfigError for a name that is not ours and has no text, and for names that answers could not tell apart.
    """
    if given is None:
        return dict(ours)
    texts = dict(given) if isinstance(given, Mapping) else dict.fromkeys([given] if isinstance(given, str) else given)
    if not texts:
        raise ConfigError(f"{key}: expected at least one")
    _check_distinct(texts, key)
    return {name: _text(name, text, ours, key) for name, text in texts.items()}


def _check_distinct(names: Iterable[object], key: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not form_of(name) or COMMA.search(name):
            raise ConfigError(f"{key}: {name!r}: expected a name: letters and digits, without a comma")
        if form_of(name) in seen:
            raise ConfigError(f"{key}: {seen[form_of(name)]!r} and {name!r} are one name to a model: rename one")
        seen[form_of(name)] = name


def _text(name: str, text: object, ours: Mapping[str, str], key: str) -> str:
    if text is None and name not in ours:
        raise ConfigError(f"{key}: {name!r} is none of ours; {suggestion(name, ours)}; or write {name}: what it means")
    if text is not None and not (isinstance(text, str) and text.strip()):
        raise ConfigError(f"{key}.{name}={text!r}: expected what it means, in words")
    return ours[name] if text is None else str(text)


def some_of(given: Sequence[str] | str | None, names: Mapping[str, str], key: str) -> list[str]:
    """A list of names. Raises ConfigError for one that is none of `names`."""
    chosen = [given] if isinstance(given, str) else list(given or ())
    for name in chosen:
        if name not in names:
            raise ConfigError(f"{key}: {name!r}: there is no such type; {suggestion(str(name), names)}")
    return chosen


# -- what is asked ------------------------------------------------------------------------------------


def intro_of(prompt: str, ours: str, placeholder: str) -> str:
    """The question with its placeholder: ours, or a text of one's own. Raises ConfigError if that lacks it."""
    text = prompt_of(prompt, {"default": ours})
    if placeholder not in text:
        raise ConfigError(f"prompt: {placeholder} is missing: write it where the list of names shall stand")
    return text


def filled(intro: str, kind: str, placeholder: str, texts: Mapping[str, str], form: str) -> str:
    """The whole question: `{kind}` and the placeholder filled in, and after it how to answer. Pure."""
    listed = "\n".join(f"- {name}: {text}" for name, text in texts.items())
    asked = intro.replace("{kind}", kind).replace(placeholder, listed)
    return f"{asked}\n\nAnswer with one JSON object and nothing else, no explanation: {form}"
