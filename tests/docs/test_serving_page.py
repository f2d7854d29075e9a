"""The page on serving: its model and its pipeline are what they say."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from checkout import ROOT
from shell import Shell

from hpcurate.serving.infer_fields import check, example_of
from hpcurate.serving.service import Unfit

PAGE = (ROOT / "docs" / "serving.md").read_text()


def block(name: str, kind: str) -> str:
    """A file that the page shows."""
    (found,) = re.findall(rf"`{re.escape(name)}`:\n\n```{kind}\n(.*?)^```", PAGE, re.M | re.S)
    return str(found)


def test_the_model_of_the_page_is_a_stage(shell: Shell) -> None:
    """Over lines of JSON, in a process of the frozen code; one line is refused by `validate`."""
    (shell.cwd / "my_model.py").write_text(block("my_model.py", "python"))
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "drawing.yaml").write_text(block("conf/pipeline/drawing.yaml", "yaml"))
    requests = shell.folder / "requests.jsonl"
    requests.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in ("a dog", "", "a cat")))
    shell.extra["CHECKPOINT_NAME"] = "large"
    shell.run("+pipeline=drawing", f"input={requests}", "budget.failed=1")
    rows = [json.loads(line) for line in shell.rows("draw")]
    assert [{"checkpoint": "large"}] * 2 == [{"checkpoint": row["values"]["checkpoint"]} for row in rows]
    files = [Path(os.path.join(shell.store, "stages", row["files"]["picture.svg"])) for row in rows]
    assert [row["values"]["characters"] for row in rows] == [len(file.read_text()) for file in files]
    (failed,) = [json.loads(line) for line in shell.rows("draw", "failed.jsonl")]
    assert "prompt: write what to draw" in failed["message"]


def test_the_model_of_the_page_has_its_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filled with its default request, and checked by its `validate` before any worker."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "model_of_the_page.py").write_text(block("my_model.py", "python"))
    target = "model_of_the_page:create_worker"
    assert {"prompt": "a red square", "width": 320} == example_of(target)
    check(target, {"prompt": "a dog"}, str(tmp_path))
    with pytest.raises(Unfit, match="write what to draw"):
        check(target, {"prompt": " "}, str(tmp_path))
