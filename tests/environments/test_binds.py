"""Folders that containers see: how they are written, and the words that each runtime gets for them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from planned import planned

from hpcurate.environments.binds import Bind, mounts, parse_binds
from hpcurate.environments.resolve import CONTAINERS
from hpcurate.errors import ConfigError
from hpcurate.planning.pipeline import Environment
from hpcurate.planning.plan import Plan
from hpcurate.worker.node_staging import NodeFault, NodeStaging

DATA = parse_binds(["/data", "/scratch:/mnt/scratch:ro"])


def test_three_ways_to_write_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables and the home directory are filled in where it is typed."""
    monkeypatch.setenv("PROJECT", "p7")
    monkeypatch.setenv("HOME", "/home/me")
    found = parse_binds(["/data/", "~/raw:/raw", "/p/$PROJECT:/p:ro", "/a:/b:rw"])
    expected = [("/data", "/data", False), ("/home/me/raw", "/raw", False), ("/p/p7", "/p", True), ("/a", "/b", False)]
    assert tuple(Bind(*one) for one in expected) == found


@pytest.mark.parametrize(
    "text", ["data", "", "/data:ro", "/a:b", "/a:/b:/c", "/a:/b:ro:x", "/a:/b:z", "/a,b", "/a\n", "/{node}", "/tmp:/"]
)
def test_what_no_runtime_would_take_is_refused(text: str) -> None:
    """Commas separate mounts, and braces are filled in on the node."""
    with pytest.raises(ConfigError, match=r"expected /FOLDER|no container mounts|would hide"):
        parse_binds([text])


def test_one_place_for_two_folders_is_refused() -> None:
    """Nobody could say which of them a stage sees."""
    with pytest.raises(ConfigError, match="/x stands for several folders"):
        parse_binds(["/a:/x", "/b:/x"])


ENROOT_RO = "/scratch:/mnt/scratch:none:bind,ro,x-create=auto"
COMMAS = "/data:/data,/scratch:/mnt/scratch:ro,S:S,N:N"


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("apptainer", f"apptainer exec --bind {COMMAS} I python3"),
        ("singularity", f"singularity exec --bind {COMMAS} I python3"),
        ("enroot", f"enroot start --mount=/data:/data --mount={ENROOT_RO} --mount=S:S --mount=N:N I python3"),
        ("pyxis", f"srun --overlap --ntasks=1 --container-image=I --container-mounts={COMMAS} python3"),
    ],
)
def test_the_words_of_each_runtime(runtime: str, expected: str) -> None:
    """The store (S) and the node's folder (N) last: a declared folder around them does not hide them."""
    words = " ".join(mounts(CONTAINERS[runtime], DATA))
    assert expected == words.replace("{store}", "S").replace("{node}", "N").replace("{image}", "I")


def test_a_mount_that_cannot_be_written_to_is_refused_where_there_is_none() -> None:
    """Rather than mounted as if it could."""
    with pytest.raises(ConfigError, match="/scratch:/mnt/scratch:ro: ch-run has no mounts that cannot be written to"):
        mounts(CONTAINERS["charliecloud"], DATA)
    (data, *_) = DATA
    assert ("ch-run", "--bind=/data:/data", "--bind={store}:{store}") == mounts(CONTAINERS["charliecloud"], [data])[:3]


def test_a_command_of_ones_own_says_where() -> None:
    """Also below another program; one that does not say is refused only if there is something to mount."""
    own = ("nice", "podman", "run", "--volume={bind}", "image", "python3")
    expected = ("--volume=/data:/data", "--volume=/scratch:/mnt/scratch:ro", "--volume={store}:{store}")
    assert expected == mounts(own, DATA)[3:6]
    silent = ("apptainer", "exec", "--bind", "{store},{node}", "i.sif", "python3")
    assert silent == mounts(silent, ())
    with pytest.raises(ConfigError, match=r"does not say where mounts are named: write a word with \{bind\}"):
        mounts(silent, DATA)


def test_a_node_without_what_is_declared_is_not_used(tmp_path: Path) -> None:
    """It is at fault, not the stage: others are tried."""
    environment = Environment(python=("ch-run",), container=True, binds=(str(tmp_path), str(tmp_path / "gone")))
    stage = msgspec.structs.replace(planned(), env=environment)
    plan = Plan(stage=stage, run="r", store=str(tmp_path), lists=(), round=1, workers=1)
    with pytest.raises(NodeFault, match=r"binds: .*/gone is missing on it"):
        NodeStaging(plan, str(tmp_path)).stage()
