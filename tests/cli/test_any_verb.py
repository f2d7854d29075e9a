"""What holds for every verb: a store that cannot be written, odd arguments, verbs with a new name."""

from __future__ import annotations

import importlib
import os
import subprocess

import pytest
from shell import Shell

from hpcurate.cli import main

VERBS = [
    ["status"],
    ["status", "--json"],
    ["watch", "--once"],
    ["why"],
    ["logs"],
    ["logs", "--failed"],
    ["explain"],
    ["runs"],
    ["compare", "latest", "latest"],
    ["note", "latest"],
]


@pytest.mark.parametrize("words", VERBS)
def test_verbs_read_a_store_that_cannot_be_written(picky: Shell, words: list[str]) -> None:
    """Status, why and logs answer also where nothing may be cached; odd names do them no harm."""
    if os.geteuid() == 0:
        subprocess.run(["mount", "--bind", str(picky.store), str(picky.store)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(picky.store)], check=True)
    try:
        picky.type(*words, "--store", str(picky.store))
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(picky.store)], check=True)


@pytest.mark.parametrize("words", VERBS)
def test_verbs_that_look_write_nothing_but_the_summary(picky: Shell, words: list[str]) -> None:
    """Every other file stays as it is, and none is added."""

    def files() -> dict[str, int]:
        paths = [path for path in picky.store.rglob("*") if path.is_file() and path.name != "summary.json"]
        return {str(path): path.stat().st_mtime_ns for path in paths}

    before = files()
    picky.type(*words)
    assert before == files()


def test_an_unknown_option_is_refused_with_the_usage(shell: Shell) -> None:
    """Exit 2."""
    assert "usage: hpcurate status" in shell.type("status", "--nonsense", status=2).stderr


def test_a_verb_with_a_new_name_is_refused_with_it(shell: Shell) -> None:
    """`shard` is a unit of work and nothing else."""
    text = shell.type("shard", "clips.jsonl", "3", status=2).stderr
    assert "hpcurate shard: this verb is now called split-manifest; type hpcurate split-manifest" in text


@pytest.mark.parametrize("name", main.VERBS)
def test_every_verb_is_in_the_help_and_has_a_file_of_its_own(name: str) -> None:
    """One file each, with `verb(argv)`."""
    module = importlib.import_module(main.VERBS[name])
    assert module.__name__.rpartition(".")[2] == name.replace("-", "_")
    assert callable(module.verb)
    assert f"  hpcurate {name} " in main.HELP
