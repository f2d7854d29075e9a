"""The first two days of the docs are true: both pages are typed, with hpcurate from its wheel, on a real Slurm."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from checkout import ROOT
from pages import as_script
from slurm_fixture import SlurmSite
from video_help import make_video
from wheel import install_wheel

pytestmark = pytest.mark.slurm


class Account:
    """A new user's: an empty home, videos, and hpcurate in an environment of its own."""

    def __init__(self, folder: Path, slurm: SlurmSite) -> None:
        python = install_wheel(folder / "env")
        self.home, self.videos = folder / "home", folder / "videos"
        self.home.mkdir()
        self.videos.mkdir()
        make_video(self.videos / "a.mp4", frames=72)
        own = {
            "HOME": str(self.home),
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "XDG_CONFIG_HOME": "",
            "XDG_STATE_HOME": "",
        }
        left = ("HPCURATE_STORE", "PYTHONPATH")
        self.environment = {**{k: v for k, v in os.environ.items() if k not in left}, **slurm.env, **own}

    def work_through(self, page: str, **other: str) -> subprocess.CompletedProcess[str]:
        """Type the page in one shell, with other words for some of its own."""
        script = as_script(ROOT / "docs" / page)
        for word, instead in other.items():
            script = script.replace(word, instead)
        done = subprocess.run(
            ["bash", "-c", script.replace("/data/videos", str(self.videos))],
            cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory, slurm: SlurmSite) -> Account:
    """One for both days: a wheel is built in seconds."""
    return Account(tmp_path_factory.mktemp("account"), slurm)


@pytest.fixture(scope="module")
def first_day(account: Account, slurm: SlurmSite) -> subprocess.CompletedProcess[str]:
    """Every `$` line of the page, in order."""
    done = account.work_through("first-day.md", RUN='"$(ls ~/curate/runs | grep clips | head -1)"')
    slurm.wait_idle(60)
    return done


def test_the_first_day_is_as_the_page_says(first_day: subprocess.CompletedProcess[str]) -> None:
    """From an empty account to a sweep."""
    for expected in (
        "jobs may submit      yes",
        "dry_run=true: nothing was written",
        "count: too short",
        "parameters.min_words",
    ):
        assert expected in first_day.stdout
    assert first_day.stdout.count("\n$ ") > 15
    assert "input: 3 tasks, 2 of them new" in first_day.stderr
    assert len(re.findall(r"stages\.count\.min_words=\d  running", first_day.stdout)) == 3


def test_the_second_day_is_as_the_page_says(
    account: Account, first_day: subprocess.CompletedProcess[str], slurm: SlurmSite
) -> None:
    """A result that is neither whole nor right, until it is both, and nothing is left of what was wrong."""
    done = account.work_through("second-day.md", RUN='"$(ls ~/curate/runs | grep pace | head -1)"')
    root = account.home / "pace"
    for expected in (
        ": complete, 2 dead letters (hpcurate why)\n$ hpcurate status\n",
        "       2  pace: ZeroDivisionError: division by zero\n",
        "          e.g. gus: 80, threshold 100\n",
        f'  File "{root}/stages/pace.py", line 18, in process\n',
        "\npace  dropped: slow\n      value 80 (threshold 100)\n",
        '"pace": 160.0, "pause": 15, "words": 2400',
        "pace    6  4 → 5    2 → 1       0\n",
        f"command   cd {root} && hpcurate +pipeline=pace wait=true store={account.home}/curate\n",
        "\npace-",
    ):
        assert expected in done.stdout, expected
    assert "pace: 2 dead letters tried again" in done.stderr
    assert "code: stages/lengths.py differs" in done.stderr
    assert 1 == len(list((account.home / "curate" / "stages").glob("pace-*")))
    assert "<!doctype html>" in (root / "pace.html").read_text().lower()
