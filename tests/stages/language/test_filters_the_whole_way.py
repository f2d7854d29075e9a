"""Filter and Classify from the command line to the table, with a server on loopback that answers as a model would."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("httpx2", reason="the openai extra is not installed")

from endpoint import Asked, LocalEndpoint
from PIL import Image
from shell import Shell

from stages.language.filter import CRITERIA

ANSWERS = {
    (10, "filter"): "```json\n" + json.dumps(dict.fromkeys(CRITERIA, False) | {"dark": True}) + "\n```",
    (200, "filter"): "I'm sorry, but I can't judge this image.",
    (10, "classify"): "never asked: the filter dropped it",
    (50, "classify"): '<think>Streets, so {"types": ["driving"]}?</think>{"types": ["city"]}',
    (100, "classify"): "{'types': ['Video game', 'animation']}",
    (150, "classify"): '{"types": []}',
}
"""What is said of an image of one shade of grey; of all others that no criterion holds."""


def shade_of(asked: Asked) -> int:
    """Of the only picture."""
    (jpeg,) = asked.pictures
    return int(np.asarray(Image.open(io.BytesIO(jpeg)).convert("L")).mean().round())


def says(asked: Asked) -> str:
    """The model's answer."""
    if not asked.pictures:  # is anybody there?
        return "Yes."
    stage = "classify" if '"types"' in asked.text else "filter"
    return ANSWERS.get((shade_of(asked), stage), json.dumps(dict.fromkeys(CRITERIA, False)))


def test_images_are_judged_by_a_server(shell: Shell) -> None:
    """Who meets a criterion, has a blocked type or no readable answer is dropped, and the reasons are counted."""
    import pyarrow.parquet as parquet

    folder = shell.cwd / "images"
    folder.mkdir()
    for shade in (10, 50, 100, 150, 200):
        Image.fromarray(np.full((64, 96, 3), shade, np.uint8)).save(folder / f"{shade}.png")
    with LocalEndpoint(says) as server:
        judges = [
            f"stages.{name}.{key}"
            for name in ("filter", "classify")
            for key in (f"server.url={server.url}", "model=tiny")
        ]
        as_json = "stages.classify.options.body.response_format.type=json_object"
        shell.inline(
            "+pipeline=images", "+filter=openai", "+classify=openai", "input=images", "output=out", *judges, as_json,
            "stages.classify.block=[video_game]",
        )  # fmt: skip
    asked = [('"types"' in one.text, one.body.get("response_format")) for one in server.asked if one.pictures]
    assert [(False, None)] * 5 + [(True, {"type": "json_object"})] * 3 == asked
    rows = parquet.read_table(shell.cwd / "out" / "images.parquet").to_pylist()
    assert [("150.png", [[]], [[]]), ("50.png", [[]], [["city"]])] == [
        (row["source"], *([w[key] for w in row["windows"]] for key in ("rejected_for", "types"))) for row in rows
    ]
    dropped = [json.loads(row) for stage in ("filter", "classify") for row in shell.rows(stage, "dropped.jsonl")]
    assert {
        "10.png": "dark",
        "100.png": "type video_game is blocked",
        "200.png": "malformed answer",
    } == {row["task"]["source"]: row["reason"] for row in dropped}
    summary = json.loads((shell.cwd / "out" / "summary.json").read_text())
    assert {"filter": 2, "classify": 1} == {
        name: summary["stages"][name]["filtered"] for name in ("filter", "classify")
    }
    assert "malformed answer" in shell.type("why", "latest", "--store", str(shell.store)).stdout
