"""On a real Slurm, in a real browser: the motion of a clip that is uploaded to a node, through the printed tunnel."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from shell import Shell
from slurm_fixture import SlurmSite
from sshd import missing, running_sshd, typed

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(missing() != "", reason=f"not found: {missing()}")]


def test_motion_of_a_clip(shell: Shell, slurm: SlurmSite, real_videos: Path, tmp_path: Path) -> None:
    """Typed on the login node; the page is opened at the user's end of the line that it prints."""
    shell.extra = dict(slurm.env)
    keys = ("launcher=slurm", "launcher.partition=cpu", "time=5m", f"store={shell.store}")
    small = tuple(f"stages.{name}.resources.memory=1GB" for name in ("probe", "split", "clips"))
    done = shell.type("serve", "+pipeline=video", "motion", *keys, *small)
    line, address = re.findall(r"^  (ssh .*|http://.*)$", done.stdout, re.MULTILINE)
    with running_sshd(tmp_path) as config, typed(line, config), chromium() as browser:
        page = browser.new_page()
        _open(page, address)
        page.locator("input[type=file]").set_input_files(str(real_videos / "cc10.mp4"))
        page.get_by_role("button", name="Run").click()
        page.locator(".result video").first.wait_for(timeout=60_000)
        assert "motion below 0.25" in page.locator(".result").inner_text()
        assert "8.2415" in page.locator(".result table").first.inner_text()
    assert "cancelled" in shell.type("cancel", "motion-", f"store={shell.store}").stdout
    slurm.wait_idle(20)


def _open(page: Any, address: str) -> None:
    """Until the tunnel stands."""
    deadline = time.monotonic() + 10
    while True:
        try:
            page.goto(address)
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
