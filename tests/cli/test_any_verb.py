"""What holds for every verb: a store that cannot be written, odd arguments, verbs with a new name."""

from __future__ import annotations

import importlib
import keyword
import os
import subprocess

import pytest
from shell import Shell

from hpcurate.cli import main
from hpcurate.cli.arguments import VerbParser

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
    ["trace", "good"],
    ["results", "pick"],
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


def test_an_unknown_option_is_refused_with_the_one_that_was_meant(shell: Shell) -> None:
    """It was answered with the usage in the style of argparse: everything there is, and not what was wrong."""
    assert shell.type("why", "--stge", "split", status=2).stderr == (
        "hpcurate: why: --stge: there is no such option; did you mean '--stage'? `hpcurate why --help` shows all\n"
    )


def test_a_verb_with_a_new_name_is_refused_with_it(shell: Shell) -> None:
    """`shard` is a unit of work and nothing else."""
    text = shell.type("shard", "clips.jsonl", "3", status=2).stderr
    assert "hpcurate shard: this verb is now called split-manifest; type hpcurate split-manifest" in text


@pytest.mark.parametrize("name", main.VERBS)
def test_every_verb_is_in_the_help_and_has_a_file_of_its_own(name: str) -> None:
    """One file each, with `verb(argv)`, and a parser that the others' style of errors comes with."""
    module = importlib.import_module(main.VERBS[name])
    own = name.replace("-", "_") + "_run" * keyword.iskeyword(name)
    assert module.__name__.rpartition(".")[2] == own
    assert callable(module.verb)
    parser = module.parser()
    assert isinstance(parser, VerbParser)
    assert parser.prog == f"hpcurate {name}"
    assert parser.description
    assert f"  hpcurate {name} " in main.HELP


@pytest.mark.parametrize("name", main.VERBS)
def test_every_option_has_its_help(name: str) -> None:
    """Completion shows it, too."""
    parser = importlib.import_module(main.VERBS[name]).parser()
    assert [] == [action.dest for action in parser._actions if not action.help]


def test_the_help_fits_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lines were up to 120 wide, and wrapped within words; so does that of each verb."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main.run(["--help"]) == 0
    for module in main.VERBS.values():
        importlib.import_module(module).parser().print_help()
    assert [] == [line for line in capsys.readouterr().out.splitlines() if len(line) > 80]
