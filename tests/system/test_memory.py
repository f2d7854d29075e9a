"""Control groups that count memory: found in both versions, up to the job's; kills and peaks read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcurate.system.memory import MemoryGroup, used_mb

V2 = "/system.slice/slurmstepd.scope/job_12/step_batch/user/task_0"
V1 = "/slurm/uid_1000/job_12/step_0"


def made(folder: Path, path: str, files: dict[str, str]) -> Path:
    """A group as the kernel shows it."""
    (folder / path.strip("/")).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / path.strip("/") / name).write_text(text)
    return folder


def group(folder: Path, text: str) -> MemoryGroup:
    """With these lines in /proc/self/cgroup."""
    (folder / "cgroup").write_text(text)
    return MemoryGroup.here(str(folder / "cgroup"), str(folder))


def test_the_groups_of_a_job_in_version_2(tmp_path: Path) -> None:
    """Its own and those above it: a step of its may be killed beside it."""
    made(tmp_path, V2, {"memory.events": "low 0\noom 1\noom_kill 1\noom_group_kill 0\n", "memory.peak": "1048576\n"})
    made(
        tmp_path,
        "/system.slice/slurmstepd.scope/job_12",
        {"memory.events": "oom_kill 2\n", "memory.peak": f"{9 << 20}"},
    )
    found = group(tmp_path, f"0::{V2}\n")
    assert ["task_0", "user", "step_batch", "job_12"] == [Path(folder).name for folder in found.folders]
    assert (3, 9) == (found.kills(), found.peak_mb())


def test_the_groups_of_a_job_in_version_1(tmp_path: Path) -> None:
    """Beside a version 2 that counts no memory."""
    made(tmp_path, f"memory{V1}", {"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"})
    made(tmp_path, "memory/slurm/uid_1000/job_12", {"memory.max_usage_in_bytes": f"{7 << 20}"})
    found = group(tmp_path, f"9:name=systemd:/\n4:cpu,memory:{V1}\n0::/\n")
    assert (2, 4, 7) == (len(found.folders), found.kills(), found.peak_mb())


def test_a_group_that_is_no_jobs(tmp_path: Path) -> None:
    """Whose peak is that of others, too: a session, a container, which shows its group as the root."""
    made(tmp_path, "user.slice", {"memory.events": "oom_kill 5\n", "memory.peak": "99999999"})
    found = group(tmp_path, "0::/user.slice\n")
    assert (1, 5, 0) == (len(found.folders), found.kills(), found.peak_mb())
    made(tmp_path, "/", {"memory.events": "oom_kill 6\n"})
    assert 6 == group(tmp_path, "0::/docker/4711\n").kills()


@pytest.mark.parametrize("text", ["", "garbage\n", "0::/gone\n"])
def test_where_nothing_counts_memory(tmp_path: Path, text: str) -> None:
    """Nothing is known."""
    found = group(tmp_path, text)
    assert (0, 0) == (found.kills(), found.peak_mb())
    assert (0, 0) == (MemoryGroup().kills(), MemoryGroup.here(str(tmp_path / "none")).kills())


def test_what_was_in_use() -> None:
    """Of this very process."""
    assert used_mb() > 10
