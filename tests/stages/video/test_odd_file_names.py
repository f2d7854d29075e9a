"""Videos whose names hold any bytes."""

from __future__ import annotations

import json
import os

import pytest
from shell import Shell
from video_help import make_video

pytestmark = pytest.mark.video


ODD = [
    b"a b.mp4",
    b"it's.mp4",
    b"new\nline.mp4",
    b"-dash.mp4",
    b"date=2024-01-01/x,y.MP4",
    b"[z]/{q}.mp4",
    b"\xff\xfe.mp4",
    b"u\xc3\xbc.mp4",
]


def test_odd_names_go_through_every_stage_and_verb(shell: Shell) -> None:
    """Videos that are fine but for their names: each gives its clips, and every verb can speak of it."""
    folder = shell.folder / "it's [in] date=1"
    folder.mkdir()
    data = make_video(shell.folder / "v.mp4", frames=48, width=64, height=64).read_bytes()
    for name in ODD:
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    words = ["+pipeline=video", f"input={folder}", f"output={shell.folder}/o'u t", "stages.split.method=stride"]
    shell.run(*words, "stages.cut.preset=ultrafast", "stages.motion.threshold=0")
    sources = {json.loads(p.read_text())["source_video"] for p in (shell.folder / "o'u t").rglob("metas/**/*.json")}
    assert sources == {
        os.fsdecode(n).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for n in ODD
    }
    for verb in (
        ["status"],
        ["watch", "--once"],
        ["why"],
        ["explain"],
        ["runs"],
        ["compare", "latest", "latest"],
        ["logs"],
    ):
        shell.type(*verb)
    for name in ODD:
        assert "attempt 1" in shell.type("logs", f"--task={os.fsdecode(name)}").stdout
    assert "nothing to do" in shell.run(*words, "stages.cut.preset=ultrafast", "stages.motion.threshold=0").stderr
