"""Prompts from the config or a table, and the tables of what was answered. Needs no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

parquet = pytest.importorskip("pyarrow.parquet", reason="the video extra is not installed")

import pyarrow

from hpcurate.errors import ConfigError
from hpcurate.testing import try_stage
from stages.language.answers import WriteAnswers
from stages.language.prompt_tasks import Prompts, PromptTask

ROWS = [{"id": "a", "prompt": "Why?"}, {"id": "b", "prompt": "Say, „how“,\nwell?", "system": "Be short."}]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    """A table as its name says."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.table({name: [row.get(name) for row in rows] for name in names}), path)
    elif path.suffix.lower() == ".csv":
        quoted = [[f'"{row.get(name, "")}"' for name in names] for row in rows]
        path.write_text("\n".join(",".join(line) for line in [names, *quoted]) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def known(tasks: list[PromptTask]) -> list[tuple[str, str, str | None]]:
    """What a source has said of its tasks."""
    return [(task.id, task.prompt, task.system or None) for task in tasks]


@pytest.mark.parametrize("name", ["p.jsonl", "P.CSV", "p.parquet"])
def test_prompts_of_a_table(tmp_path: Path, name: str) -> None:
    """In its order, with its ids; the same table is the same source."""
    source = Prompts(table=write(tmp_path / name, ROWS), prompts=("not these",))
    expected = [("a", ROWS[0]["prompt"], None), ("b", ROWS[1]["prompt"], "Be short.")]
    assert expected == known(list(source.tasks()))
    assert source.identity() == Prompts(table=str(tmp_path / name)).identity()
    assert source.identity() != Prompts(table=str(tmp_path / f"other.{name}")).identity()


def test_prompts_of_the_config() -> None:
    """Two that are the same are two tasks."""
    tasks = list(Prompts(("x", "x")).tasks())
    assert ["x", "x"] == [task.prompt for task in tasks]
    assert tasks[0].id != tasks[1].id


def test_prompts_that_cannot_be_read(tmp_path: Path) -> None:
    """File, line, and what was expected."""
    with pytest.raises(ConfigError, match=r"no prompts; give a table of them, input=prompts\.jsonl"):
        Prompts()
    with pytest.raises(ConfigError, match=r"input=p\.txt: expected a name that ends in \.jsonl, \.csv, \.parquet"):
        Prompts(table="p.txt")
    other = write(tmp_path / "p.jsonl", [{"prompt": "x", "topic": "y"}])
    with pytest.raises(
        ConfigError, match=r"p\.jsonl:1: PromptTask has no field 'topic'; there are: .*prompt.*source\.extra=ignore"
    ):
        list(Prompts(table=other).tasks())
    assert ["x"] == [task.prompt for task in Prompts(table=other, extra="ignore").tasks()]
    with pytest.raises(ConfigError, match=r"q\.jsonl:1: not a PromptTask: .*`prompt`"):
        list(Prompts(table=write(tmp_path / "q.jsonl", [{"id": "a"}])).tasks())


def test_answers_are_written_as_tables(tmp_path: Path) -> None:
    """A row each, in order, also of a class of one's own; what has no answer is among them; and counts."""

    @attrs.define(kw_only=True)
    class Rated(PromptTask):
        stars: int | None = None

    done = {"model": "m", "prompt_tokens": 5}
    tasks = [
        Rated(id="z", prompt="why", answer="so", status="done", output_tokens=2, stars=3, **done),
        Rated(id="a", prompt="how", status="empty", output_tokens=1, **done),
        Rated(id="m", prompt="who"),
    ]
    assert not try_stage(WriteAnswers(str(tmp_path / "out")), tasks, tmp_path / "work").failed
    rows = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert rows == parquet.read_table(tmp_path / "out" / "answers.parquet").to_pylist()
    assert ["z", "a", "m"] == [row["id"] for row in rows]
    names = ["id", "prompt", "system", "answer", "status", "model", "prompt_tokens", "output_tokens", "stars"]
    assert names == list(rows[0])
    assert ["why", None, "so", "done", "m", 5, 2, 3] == [rows[0][name] for name in names[1:]]
    counts = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {"done": 1, "empty": 1, "not asked": 1} == counts["answers"]
    assert (3, 10, 3) == (counts["num_prompts"], counts["prompt_tokens"], counts["output_tokens"])
