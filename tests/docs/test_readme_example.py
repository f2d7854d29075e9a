"""The stage of the README, as it stands there: a user's field reaches JSON and Parquet without touching ours."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pyarrow.parquet
import pytest
from readme import readme_stage
from shell import Shell
from video_help import make_video

pytestmark = pytest.mark.video


def test_the_caption_of_the_readme_is_in_json_and_parquet(tmp_path: Path) -> None:
    """Copied and typed; every clip has its caption in both, and the shipped fields are there, too."""
    shell = Shell(tmp_path)
    code, line = readme_stage()
    (shell.cwd / "stages").mkdir()
    (shell.cwd / "stages" / "caption.py").write_text(code)
    (tmp_path / "videos").mkdir()
    make_video(tmp_path / "videos" / "a.mp4", frames=48)
    words = shlex.split(line.replace("/data/videos", str(tmp_path / "videos")))[1:]
    shell.inline(*words, "stages.split.method=stride", f"output={tmp_path / 'out'}")
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "clips.parquet").to_pylist()
    metas = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("metas/v0/*/*.json")]
    assert [("a.mp4", "dark")] == [(row["source_video"], row["caption"]) for row in rows]
    assert [(meta["span_uuid"], meta["caption"]) for meta in metas] == [(rows[0]["span_uuid"], "dark")]
