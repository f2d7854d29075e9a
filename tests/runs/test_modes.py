"""Modes of all that a run makes, whatever the umask: its owner's alone, where nobody says otherwise."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from shell import Shell

from hpcurate.errors import StoreError
from hpcurate.runs.folder import open_store
from hpcurate.store.access import GROUP, OWNER, make_folders, private_files, settle
from hpcurate.store.filesystem import POSIX
from hpcurate.store.mode import check_mode, mode_of


def modes(folder: Path) -> dict[str, int]:
    """Of every file and folder."""
    paths = [folder, *(p for p in folder.rglob("*") if not p.is_symlink())]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in paths}


def open_to_others(folder: Path) -> list[str]:
    """What its owner is not alone with."""
    return [f"{name} {mode:o}" for name, mode in modes(folder).items() if mode & 0o077]


RUN = [
    pytest.param("0", "local", id="0"),
    pytest.param("077", "inline", id="077"),
    pytest.param("022", "local", id="022", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("umask", "launcher"), RUN)
def test_a_store_is_its_owners(shell: Shell, umask: str, launcher: str) -> None:
    """Stages, claims, rounds, workers, runs, logs, output, weights, trash: folders 0700, files 0600, committed ones
    0400. Before, they were as the umask of whoever typed the command.
    """
    (shell.cwd / "conf" / "models").mkdir(parents=True)
    (shell.cwd / "weights").mkdir()
    (shell.cwd / "weights" / "w.bin").write_bytes(b"w")
    (shell.cwd / "conf" / "models" / "mine.yaml").write_text(f"path: {shell.cwd / 'weights'}\n")
    words = ["+pipeline=words", f"launcher={launcher}", f"store={shell.store}"]
    script = 'umask "$1"; shift; "$@" && "${@:1:3}" models fetch mine --store "$STORE"'
    command = ["bash", "-c", script, "-", umask, sys.executable, "-m", "hpcurate", *words]
    environment = {**shell.environment, "STORE": str(shell.store)}
    done = subprocess.run(command, cwd=shell.cwd, env=environment, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    found = modes(shell.store)
    assert [] == open_to_others(shell.store)
    assert {0o700} == {mode for name, mode in found.items() if (shell.store / name).is_dir()}
    committed = {mode for name, mode in found.items() if "/shards/" in name and name.endswith(".json")}
    assert {0o400} == committed
    kinds = ("claims", "rounds", "lists", "done", "weights", "code-", "trash", "pipeline.json", "config.yaml")
    assert [] == [kind for kind in kinds if not any(kind in name for name in found)]
    assert [] == open_to_others(shell.folder / "state")


def test_programs_stay_programs(tmp_path: Path) -> None:
    """What a package manager has made, in an owner's folder and in a group's; the group may use it, not change it."""
    for above, expected in ((OWNER, (0o700, 0o700, 0o600)), (GROUP, (0o2770, 0o750, 0o640))):
        envs = tmp_path / f"{above:o}"
        envs.mkdir()
        envs.chmod(above)
        (envs / "env" / "bin").mkdir(parents=True)
        for name, mode in (("python", 0o777), ("text", 0o666)):
            (envs / "env" / "bin" / name).touch()
            (envs / "env" / "bin" / name).chmod(mode)
        settle(str(envs / "env"))
        found = modes(envs)
        assert expected == (found["env/bin"], found["env/bin/python"], found["env/bin/text"])


def test_nothing_is_opened_outside_of_a_groups_folder(tmp_path: Path) -> None:
    """What a stage writes elsewhere is its owner's; and its owner's umask is as it was afterwards."""
    before = os.umask(0o022)
    try:
        with private_files():
            (tmp_path / "elsewhere").touch()
        assert 0o022 == os.umask(0o022)
    finally:
        os.umask(before)
    assert 0o600 == modes(tmp_path)["elsewhere"]


def test_a_folder_is_as_the_one_that_it_is_in(tmp_path: Path) -> None:
    """A run's own folder in a group's store, and what is below it, is its owner's."""
    store = open_store(str(tmp_path / "store"), mode="group")
    POSIX.make_folders(f"{store.runs}/run/submissions")
    POSIX.make_folders(f"{store.runs}/mine", mode=OWNER)
    make_folders(f"{store.runs}/mine/submissions")
    POSIX.create(f"{store.runs}/mine/plan.json", b"x")
    POSIX.replace(f"{store.runs}/run/summary.json", b"x")
    POSIX.beat(f"{store.stages}/beat", b"x")
    found = modes(tmp_path / "store")
    assert {GROUP} == {found[name] for name in (".", "stages", "runs", "runs/run", "runs/run/submissions")}
    assert {0o660} == {found[name] for name in ("format.json", "runs/run/summary.json", "stages/beat")}
    private = ("runs/mine", "runs/mine/submissions", "runs/mine/plan.json")
    assert (OWNER, OWNER, 0o600) == tuple(found[name] & 0o777 for name in private)


def test_a_store_stays_as_it_was_made(tmp_path: Path) -> None:
    """`format.json` has it: later calls need not name it, and another one is refused."""
    for mode in ("group", "private"):
        store = str(tmp_path / mode)
        check_mode(store, mode)
        open_store(store, mode=mode)
        check_mode(store, None)
        assert (mode, mode) == (mode_of(store), mode_of(open_store(store).root))
        other = "private" if mode == "group" else "group"
        with pytest.raises(StoreError, match=f"store_mode={other}: .* is {mode}, and a store stays as it was made"):
            check_mode(store, other)


def test_a_folder_that_is_there_is_taken_as_it_is(tmp_path: Path) -> None:
    """One that the group may write is no private store by accident, and one that it may not is no group's."""
    shared, own = tmp_path / "shared", tmp_path / "own"
    for folder, mode in ((shared, 0o2775), (own, 0o755)):
        folder.mkdir()
        folder.chmod(mode)
    with pytest.raises(StoreError, match="type store_mode=group to share the store"):
        check_mode(str(shared), None)
    with pytest.raises(StoreError, match=r"is no group's folder; .*chmod -R g=u .*/own; find .*/own -type d"):
        check_mode(str(own), "group")
    with pytest.raises(StoreError, match=r"make .*/not first"):
        check_mode(str(tmp_path / "not" / "there"), "group")
    check_mode(str(own), None)
    open_store(str(own))
    assert {".": 0o755, "stages": 0o700, "runs": 0o700, "format.json": 0o600} == modes(own)
    open_store(str(shared), mode="private")
    assert [0o700, 0o700] == [modes(shared)[name] & 0o777 for name in ("stages", "runs")]


@pytest.mark.parametrize(("stages", "expected"), [(0o755, "private"), (0o775, "private"), (0o2775, "group")])
def test_a_store_of_an_earlier_release_keeps_its_modes(tmp_path: Path, stages: int, expected: str) -> None:
    """What is new in it is private, or the group's where its folders are a group's."""
    for name in ("stages/s", "runs"):
        (tmp_path / name).mkdir(parents=True)
    for name in (".", "stages", "stages/s", "runs"):
        (tmp_path / name).chmod(stages)
    (tmp_path / "format.json").write_text('{"format": 2}')
    (tmp_path / "format.json").chmod(0o644)
    before = modes(tmp_path)
    assert expected == mode_of(str(tmp_path))
    check_mode(str(tmp_path), None)
    POSIX.make_folders(f"{open_store(str(tmp_path)).stages}/s/claims")
    after = modes(tmp_path)
    assert (GROUP if expected == "group" else OWNER) == after.pop("stages/s/claims")
    assert before == after
