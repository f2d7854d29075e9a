"""Language: which one a text is written in, and which ones are kept."""

from __future__ import annotations

import functools
from typing import Any

from hpcurate import Resources, Stage, WorkerInfo
from hpcurate.errors import ConfigError
from stages.texts.tasks import TextTask

UNKNOWN = "und"
"""ISO 639's word for a text whose language cannot be told."""

_CODES = """
    ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu ext fa fi fo
    fr fuv fy ga gcf gcr gd gl gom grc gu gug guw ha hbo he hi hr ht hu hy id ig is it ja jv ka kab kik kk km
    kn ko ku ky la lb lg lij ln lo lt ltg lv mg mk ml mn mr ms mt my ne nl nn no nso oc om or pa pcm pl ps pt
    qu ro ru rw sa sdh se si sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz uzs vec vi vo wa
    wuu xh yo yue zh zu zxx
"""
LANGUAGES = tuple(_CODES.split())
"""Codes of py3langid's model, so that a misspelt one is refused without loading it."""


class Language(Stage[TextTask, TextTask]):
    """Identify the language of each text by py3langid's model of 140 languages, and drop those that are not wanted.

    The model is langid.py's (Lui and Baldwin 2012), trained again; it is in the package, under the BSD licence. About
    0.4 ms a thousand characters.
    """

    resources = Resources(cpus=1, memory="1GB", time="2h")
    batch_size = 100
    version = 1

    def __init__(
        self, keep_languages: list[str] | None = None, min_score: float = 0.65, characters: int = 2000
    ) -> None:
        """Set what is kept.

        Args:
            keep_languages: ISO 639 codes, e.g. [en, de]; none given: all.
            min_score: a text with a lower score is dropped, 0 … 1. The default is that of FineWeb (Penedo et al. 2024)
                and of datatrove, where the score is fastText's: of texts longer than a sentence, both are near 1.
            characters: beginning of the text that is looked at.
        """
        if not 0 <= min_score <= 1:
            raise ConfigError(f"min_score: {min_score}: expected 0 … 1")
        if characters < 1:
            raise ConfigError(f"characters: {characters}: expected at least 1")
        for language in keep_languages or []:
            if language not in LANGUAGES:
                raise ConfigError(f"keep_languages: {language!r}: no such code; {_codes_like(language)}")
        self.keep_languages = list(keep_languages or [])
        self.min_score, self.characters = min_score, characters

    def setup(self, worker: WorkerInfo) -> None:
        """Load the model."""
        self._model = load_model()

    def process(self, tasks: list[TextTask]) -> list[TextTask]:
        """Those that are kept, with `language` and `language_score`."""
        return [task for task in tasks if self._keeps(task)]

    def _keeps(self, task: TextTask) -> bool:
        task.language, task.language_score = language_of(self._model, task.text[: self.characters])
        if self.keep_languages and task.language not in self.keep_languages:
            self.drop(task, "another language", value=task.language, threshold=", ".join(self.keep_languages))
        elif task.language_score < self.min_score:
            self.drop(
                task, "language not clear", value=task.language_score, threshold=self.min_score,
                measure="language_score",
            )  # fmt: skip
        else:
            return True
        return False


def _codes_like(wrong: str) -> str:
    begin = [code for code in LANGUAGES if wrong.lower().startswith(code)]
    return f"did you mean {begin[0]!r}?" if begin else f"there are: {', '.join(LANGUAGES)}"


@functools.cache
def load_model() -> Any:
    """The model, with scores that are probabilities. About 0.8 s."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(model: Any, text: str) -> tuple[str, float]:
    """(code, score); a text without letters has no language. The score's last digits, which depend on the processor,
    are left out.
    """
    if not any(map(str.isalpha, text)):
        return UNKNOWN, 0.0
    language, score = model.classify(text)
    return str(language), round(float(score), 4)
