"""The page on training shards: its command line is typed, and its programs read what came of it."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from checkout import ROOT
from shell import Shell
from video_help import make_video

from hpcurate.testing import try_stage
from stages.shards.texts import TextShards
from stages.texts.tasks import TextTask

pytestmark = pytest.mark.video
PAGE = (ROOT / "docs" / "training-shards.md").read_text()


@pytest.fixture
def read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, Path], list[str]]:
    """Run a program of the page in a folder, without a network: the lines that it prints."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))

    def run(program: str, folder: Path) -> list[str]:
        (folder / "program.py").write_text(program)
        monkeypatch.chdir(folder)
        capsys.readouterr()
        runpy.run_path(str(folder / "program.py"))
        return capsys.readouterr().out.splitlines()

    return run


def test_what_the_page_types_is_read_by_its_programs(tmp_path: Path, read: Callable[[str, Path], list[str]]) -> None:
    """One video, twice: a clip, once; and a text."""
    pytest.importorskip("webdataset")
    pytest.importorskip("datasets")
    torch, hugging, rows = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    shell = Shell(tmp_path)
    (tmp_path / "videos").mkdir()
    make_video(tmp_path / "videos" / "a.mp4", frames=48, width=320, height=180)
    (tmp_path / "videos" / "b.mp4").write_bytes((tmp_path / "videos" / "a.mp4").read_bytes())
    assert "hpcurate +pipeline=dataset input=/data/videos launcher=local" in PAGE
    words = [f"input={tmp_path / 'videos'}", f"output={tmp_path / 'output'}", "stages.split.method=stride"]
    shell.inline("+pipeline=dataset", *words)
    (line,) = read(torch.replace("720p", "under480p").replace("num_workers=4", "num_workers=0"), tmp_path)
    (same,) = read(hugging, tmp_path)
    assert "[0.0, 2.0]" in line
    assert line.split()[:2] == same.split()[::-1]

    text = TextTask(id="t", text="some words")
    try_stage(TextShards(str(tmp_path / "texts" / "output" / "shards")), [text], tmp_path / "trial", batch_size=0)
    assert read(rows, tmp_path / "texts") == ["t some words"]
