"""The first day of the docs is true: the whole page is typed in one shell, with hpcurate from its wheel."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from checkout import ROOT
from slurm_fixture import SlurmSite
from video_help import make_video
from wheel import install_wheel

pytestmark = pytest.mark.slurm


def test_the_first_day_is_as_the_page_says(tmp_path: Path, slurm: SlurmSite) -> None:
    """Every `$` line of the page, in order, in one shell, with hpcurate from its wheel."""
    python = install_wheel(tmp_path / "env")
    home, videos = tmp_path / "home", tmp_path / "videos"
    home.mkdir()
    videos.mkdir()
    make_video(videos / "a.mp4", frames=72)
    text = (ROOT / "docs" / "first-day.md").read_text()
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.M | re.S)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert len(lines) > 15
    script = "set -e\n" + "\n".join(f"echo '$ {line}'\n{line}" for line in lines).replace("/data/videos", str(videos))
    script = script.replace("compare RUN", 'compare "$(ls ~/curate/runs | grep clips | head -1)"')
    own = {
        "HOME": str(home),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": "",
        "XDG_STATE_HOME": "",
    }
    left = ("HPCURATE_STORE", "PYTHONPATH")
    environment = {**{k: v for k, v in os.environ.items() if k not in left}, **slurm.env, **own}
    done = subprocess.run(
        ["bash", "-c", script], cwd=home, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    printed = done.stdout
    for expected in (
        "jobs may submit      yes",
        "dry_run=true: nothing was written",
        "count: too short",
        "parameters.min_words",
    ):
        assert expected in printed
    assert "input: 3 tasks, 2 of them new" in done.stderr
    assert len(re.findall(r"stages\.count\.min_words=\d  running", printed)) == 3
    slurm.wait_idle(60)
