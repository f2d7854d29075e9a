"""Quality: drop texts that are lists, menus, code, fragments, or the same again and again."""

from __future__ import annotations

from hpcurate import Resources, Stage
from stages.texts.measures import MEASURES, parts
from stages.texts.rules import Bound, Rules, asked, bounds
from stages.texts.tasks import TextTask

ALL: tuple[Rules, ...] = ("gopher_quality", "gopher_repetition", "c4", "fineweb")
DIGITS = 4
"""After the point, of a measure that is kept."""


class Quality(Stage[TextTask, TextTask]):
    """Measure each text, and drop it at the first measure that is out of bounds.

    The rules are those of Gopher, C4 and FineWeb (`stages/texts/rules.py`). What is measured of a text depends on its
    `language`: the list of English stop words, and words where there are no spaces between them.
    """

    resources = Resources(cpus=1, memory="1GB", time="4h")
    batch_size = 100
    version = 1

    def __init__(
        self,
        rules: list[Rules] | None = None,
        least: dict[str, float] | None = None,
        most: dict[str, float] | None = None,
        record: bool = True,
    ) -> None:
        """Set the bounds.

        Args:
            rules: which sets of bounds count: gopher_quality, gopher_repetition, c4, fineweb; default: all four. Where
                two bound one measure, the stricter counts.
            least: measure → smallest value, instead of the rules'; -.inf asks nothing.
            most: measure → greatest value, instead of the rules'; .inf asks nothing.
            record: keep the values in `quality` of each task, and in the output.
        """
        self._bounds = bounds(ALL if rules is None else rules, least or {}, most or {})
        self.record = record

    def process(self, tasks: list[TextTask]) -> list[TextTask]:
        """Those within all bounds."""
        return [task for task in tasks if self._keeps(task)]

    def _keeps(self, task: TextTask) -> bool:
        of, values = parts(task.text), dict[str, float]()
        if self.record:
            task.quality = values
        for bound in asked(self._bounds, task.language):
            value = values[bound.measure] = round(MEASURES[bound.measure](of), DIGITS)
            if not bound.least <= value <= bound.most:
                self._drop(task, bound, value)
                return False
        return True

    def _drop(self, task: TextTask, bound: Bound, value: float) -> None:
        low = value < bound.least
        threshold = bound.least if low else bound.most
        reason = f"{bound.measure} {'below' if low else 'above'} {threshold:g}"
        self.drop(task, reason, value=value, threshold=threshold, measure=f"quality.{bound.measure}")
