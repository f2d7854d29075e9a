"""The graph of a pipeline that `dry_run=true` draws where it is no plain line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hpcurate.cli.diagram import LEGEND, diagram
from hpcurate.cli.verbs.explain import preview_lines
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.runs.preview import Preview, StagePreview
from stages.hello import LowerCase, Prompts

Graph = dict[str, Sequence[str]]

DIAMOND = """\
o     the source
o     a
|--+
o  |  b
|  o  c
|--+
o     d"""
TWO_INPUTS = """\
o     the source
|--+
o  |  a
|  o  b
|--+
o     c"""
SHORT_CUT = """\
o     the source
o     a
|--+
o  |  b
|--+
o     c"""
TAO = f"""\
o     the source
o     convert
o     train
|--+
o  |  evaluate
:  o  prune
:--+
o     retrain
|--+
o  |  evaluate_again
|  o  export
o     report
{LEGEND}"""
CROSSING = """\
o        the source
o        a
|--+--+
o  |  |  b
|  o  |  c
|  |  o  d
|--|--+
o  |     e
|--+
o        f"""


@pytest.mark.parametrize(
    ("after", "needs", "drawn"),
    [
        ({"a": [], "b": ["a"], "c": ["b"]}, {}, ""),
        ({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}, {}, DIAMOND),
        ({"a": [], "b": [], "c": ["a", "b"]}, {}, TWO_INPUTS),
        ({"a": [], "b": ["a"], "c": ["b", "a"]}, {}, SHORT_CUT),
        ({"a": [], "b": ["a"], "c": ["a"], "d": ["a"], "e": ["b", "d"], "f": ["c", "e"]}, {}, CROSSING),
        ({"a": [], "b": ["a"], "c": ["b"]}, {"c": ["a"]}, f"{SHORT_CUT.replace('--', '..').replace('o  |', 'o  :')}\n{LEGEND}"),
        (
            {"convert": [], "train": ["convert"], "evaluate": ["train"], "prune": ["train"], "retrain": ["prune"],
             "evaluate_again": ["retrain"], "export": ["retrain"], "report": ["evaluate_again"]},
            {"retrain": ["evaluate"]},
            TAO,
        ),
    ],
)  # fmt: skip
def test_branches_and_joins_are_seen(after: Graph, needs: Graph, drawn: str) -> None:
    """A stage to a row, an edge to a column; what only waits is dotted."""
    assert drawn == "\n".join(diagram(after, needs))


def test_it_is_of_ascii_and_fits_80_columns() -> None:
    """Twenty branches do; of more the table's column `follows` has to do."""

    def wide(branches: int) -> list[str]:
        names = [f"branch_{n}" for n in range(branches)]
        return diagram({"a": [], **{name: ["a"] for name in names}, "join": names}, {})

    assert 23 == len([line for line in wide(20) if " " in line and line.isascii() and len(line) <= 80])
    assert [] == wide(30)


def test_a_dry_run_shows_it() -> None:
    """Below the table of the stages; a plain line has none."""

    def shown(**after: list[str] | None) -> str:
        steps = {name: Step(LowerCase(), StageOptions(after=above)) for name, above in after.items()}
        stages = build("p", Prompts(("a",)), steps).stages
        previews = [StagePreview(stage=one, tasks=1, shards=1, done=0, workers=1, script=None) for one in stages]
        return "\n".join(preview_lines(Preview(run=None, input=(), stages=previews, expected=[], explanations=[])))

    assert f"\n\n{DIAMOND}\n\n" in shown(a=None, b=["a"], c=["a"], d=["b", "c"])
    assert "the source\n" not in shown(a=None, b=None)
