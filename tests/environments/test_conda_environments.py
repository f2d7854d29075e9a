"""Environments of stages: real conda environments from a channel of the test's own, with another Python than the driver's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conda_project import built, write
from shell import Shell

from hpcurate.environments.files import env_names, parse_env, read_env
from hpcurate.errors import ConfigError

pytest.importorskip("rattler", reason="the envs extra is not installed")
pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")


def test_a_stage_runs_in_its_own_environment(there: Shell, channel: tuple[str, str]) -> None:
    """Another Python minor, nothing of the driver's packages; prefix and version stand in the shard's stats."""
    prefix = built(there)
    assert prefix.parent == there.store / "envs"
    there.run("+pipeline=tell", "input=tell.py")
    rows = [json.loads(row)["source"].split("|") for row in there.rows("tell")]
    assert len(rows) == 1
    assert all(row[0] == str(prefix) for row in rows)
    assert all(row[1].startswith(f"{channel[1]}.") for row in rows)
    assert {(row[2], row[3], row[4]) for row in rows} == {("42", f"{prefix.resolve()}/tiny home", str(prefix))}
    (stats,) = there.store.glob("stages/tell-*/shards/*/*/stats.json")
    shown = json.loads(stats.read_text())["environment"]
    assert (shown["prefix"], shown["python"].rpartition(".")[0]) == (str(prefix), channel[1])
    assert list(there.store.glob(f"runtime/cp{channel[1].replace('.', '')}-*/msgspec"))
    assert not list(prefix.glob("lib/python*/site-packages/msgspec"))


def test_the_lock_is_the_same_each_time_and_stands_beside_the_file(there: Shell) -> None:
    """To be committed; a second build does nothing."""
    there.type("envs", "lock", "tiny")
    first = (there.cwd / "envs" / "tiny.lock").read_bytes()
    there.type("envs", "lock", "tiny")
    assert first == (there.cwd / "envs" / "tiny.lock").read_bytes()
    prefix = built(there)
    assert "is complete" in there.type("envs", "build", "tiny", "--store", str(there.store)).stderr
    assert str(prefix) in there.type("envs", "list", "tiny", "--store", str(there.store)).stdout
    shown = there.type("envs", "check", "tiny", "--store", str(there.store)).stdout.splitlines()[-1].split()
    assert [str(prefix), "fine"] == shown[-2:]
    there.type("envs", "remove", "tiny", "--store", str(there.store))
    assert not prefix.exists()


def test_what_is_not_ready_is_refused_before_anything_starts(there: Shell, channel: tuple[str, str]) -> None:
    """Not locked, not built, changed since, unknown: each with the command to type."""

    def refused(env: str) -> str:
        return there.run("+pipeline=tell", "input=tell.py", f"stages.tell.env={env}", status=2).stderr

    assert "stages.tell.env=tiny: is not built in this store; type `hpcurate install +pipeline=tell" in refused("tiny")
    there.type("envs", "lock", "tiny")
    assert "stages.tell.env=tiny: is not built in this store; type `hpcurate install +pipeline=tell" in refused("tiny")
    built(there)
    write(there, channel, "[python]")
    assert "has changed since it was locked" in refused("tiny")
    assert "there is no envs/tony.yml here; did you mean 'tiny'?" in refused("tony")


def test_an_environment_that_does_not_solve(there: Shell, channel: tuple[str, str]) -> None:
    """The solver's reason, and the line."""
    write(there, channel, "[python, 'tinypkg >=9']")
    shown = there.type("envs", "build", "tiny", "--store", str(there.store), status=2).stderr
    assert "tiny.yml: cannot be solved:" in shown
    assert "tinypkg" in shown
    assert "(line 4: tinypkg >=9)" in shown
    assert "Traceback" not in shown


def test_a_login_node_without_a_gpu_locks_for_nodes_that_have_one(there: Shell, channel: tuple[str, str]) -> None:
    """CONDA_OVERRIDE_CUDA, as conda has it; without it the reason is shown."""
    write(there, channel, "[python, tinygpu]")
    if not Path("/proc/driver/nvidia").exists():
        assert "__cuda" in there.type("envs", "lock", "tiny", status=2).stderr
    there.type("envs", "lock", "tiny", CONDA_OVERRIDE_CUDA="12.8")
    assert (built(there) / "share" / "gpu.txt").exists()


def test_a_post_install_that_fails(there: Shell) -> None:
    """Its last lines; the environment is not taken for built. Fixed, it is."""
    script = there.cwd / "envs" / "tiny.post_install.sh"
    script.write_text("echo preparing\necho no such licence >&2\nexit 3\n")
    there.type("envs", "lock", "tiny")
    shown = there.type("envs", "build", "tiny", "--store", str(there.store), status=2).stderr
    assert "tiny.post_install.sh failed with exit status 3: no such licence | preparing" in shown
    assert not list(there.store.glob("envs/*/.hpcurate.json"))
    script.write_text("python -c \"import tinypkg, sys; open(sys.prefix + '/made', 'w').write('x')\"\n")
    there.type("envs", "lock", "tiny")
    assert (built(there) / "made").exists()


def test_two_builders_and_one_that_was_killed(there: Shell) -> None:
    """One builds, the other is refused with the name of the first; what a killed one left is built again."""
    (there.cwd / "envs" / "tiny.post_install.sh").write_text("sleep 20\n")
    there.type("envs", "lock", "tiny")
    command = [sys.executable, "-m", "hpcurate", "envs", "build", "tiny", "--store", str(there.store)]
    process = subprocess.Popen(
        command, cwd=there.cwd, env=there.environment, start_new_session=True, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not list(there.store.glob("envs/*/bin/python")) and time.monotonic() < deadline:
        time.sleep(0.05)
    shown = there.type("envs", "build", "tiny", "--store", str(there.store), status=2).stderr
    assert f"another process is building this now (process {process.pid} on" in shown
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list(there.store.glob("envs/*/.hpcurate.json"))
    assert [".1"] == [path.suffix for path in (there.store / "envs").glob("tiny-*")]
    (there.cwd / "envs" / "tiny.post_install.sh").write_text("true\n")
    there.type("envs", "lock", "tiny")
    assert (built(there) / ".hpcurate.json").exists()


def test_what_an_earlier_release_left_half_built_is_built_again(there: Shell) -> None:
    """It built under the name itself; now half an environment never has the name. A killed build's folder goes."""
    prefix = built(there)
    assert prefix.is_symlink()
    there.type("envs", "remove", "tiny", "--store", str(there.store))
    assert [] == list(prefix.parent.glob("tiny-*"))
    (prefix / "bin").mkdir(parents=True)
    prefix.with_name(f"{prefix.name}.1").mkdir()
    assert prefix == built(there)
    assert {prefix, prefix.with_name(f"{prefix.name}.2")} == set(prefix.parent.glob("tiny-*"))


BAD = [
    ("dependencies: []\n", "expected a list such as"),
    ("dependencies: [numpy]\n", "python is missing"),
    ("dependencies: [python, {npm: [x]}]\n", "expected a package, or pip: with a list"),
    ("dependencies: [python\n", "not YAML"),
]


@pytest.mark.parametrize(("text", "shown"), BAD)
def test_a_bad_environment_file_is_refused(tmp_path: Path, text: str, shown: str) -> None:
    """Naming file and key."""
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(ConfigError, match=r"x\.yml") as refused:
        parse_env("x", tmp_path / "x.yml")
    assert shown in str(refused.value)


def test_an_environment_file_is_read_whole(tmp_path: Path) -> None:
    """Conda's part, pip's part, the script; each changes the digest."""
    (tmp_path / "x.yml").write_text("dependencies: [python=3.11, {pip: [a, b]}]\n")
    one = read_env("x", [tmp_path])
    assert (("conda-forge",), ("python=3.11",), ("a", "b"), "") == (
        one.channels,
        one.dependencies,
        one.pip,
        one.post_install,
    )
    (tmp_path / "x.post_install.sh").write_text("true\n")
    assert one.digest != read_env("x", [tmp_path]).digest
    assert ["x"] == env_names([tmp_path])
