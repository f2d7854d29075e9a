"""What the shell hands over reaches the config unchanged."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from hpcurate.cli.start.overrides import combinations, quoted_if_needed, sort_arguments
from hpcurate.errors import ConfigError
from hpcurate.grammar import quoted

ODD = [
    "/d/date=2024-01-01/", "a b", "a,b", "it's", 'say "hi"', "[x]", "{y}", "#1", "ü", "a(1)", "~x", "back\\slash",
    "end\\", "end\\\n", "\\'", "new\nline", "-lead", "raw\udcff", "$x", "${not.an.interpolation", "*?", ":", "a:b", "",
]  # fmt: skip


def test_what_is_typed_is_kept_as_it_was() -> None:
    """The command that a message names has it all: what takes something out was lost."""
    argv = ["+pipeline=video_full", "~classify", "-m", "caption=smolvlm", "--config-dir", "a=b"]
    assert sort_arguments(argv).words == ("+pipeline=video_full", "~classify", "caption=smolvlm")


@pytest.mark.parametrize("path", ODD)
@pytest.mark.parametrize("key", ["input", "store", "output"])
def test_paths_are_taken_as_the_shell_gave_them(key: str, path: str) -> None:
    """Never parsed, whatever they hold."""
    assert sort_arguments([f"{key}={path}"]).paths == {key: path}


def test_a_tilde_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell does not expand it behind `input=`."""
    monkeypatch.setenv("HOME", "/home/me")
    assert sort_arguments(["input=~/v"]).paths == {"input": "/home/me/v"}


@pytest.mark.parametrize("value", [v for v in ODD if v])
def test_quoting_survives_hydras_grammar(value: str) -> None:
    """A quoted value is read back as it was."""
    parsed = OverridesParser.create().parse_override(f"x={quoted(value)}")
    assert parsed.value() == value


@pytest.mark.parametrize("value", ["1", "0.5,1.0", "[a,b]", "{a: 1}", "null", "true", "abc"])
def test_what_the_grammar_takes_is_left_alone(value: str) -> None:
    """Numbers, sweeps, lists and mappings keep their meaning."""
    assert quoted_if_needed("x", value) == value


@pytest.mark.parametrize(
    ("typed", "for_hydra"),
    [
        ("stages.split.min_s=3", "++stages.split.min_s=3"),
        ("budget.failed=0", "++budget.failed=0"),
        ("launcher=slurm", "launcher=slurm"),
        ("launcher.partition=gpu", "++launcher.partition=gpu"),
        ("pipeline=video", "+pipeline=video"),
        ("+pipeline=video", "+pipeline=video"),
        ("wait=true", "wait=true"),
    ],
)
def test_keys_need_no_plus(typed: str, for_hydra: str) -> None:
    """Any parameter of a stage can be set as it is called."""
    assert sort_arguments([typed]).overrides == (for_hydra,)


@pytest.mark.parametrize("key", ["input", "exclude"])
def test_a_path_that_is_given_twice_is_refused_with_how_to_give_several(key: str) -> None:
    """A shell makes several words of `input=/d/{a,b}` without quotes: the last alone was used."""
    with pytest.raises(ConfigError) as told:
        sort_arguments([f"{key}=/d/a b", f"+{key}=/d/c"])
    assert f"for several type '{key}=[/d/a b,/d/c]'; braces stand in quotes" in str(told.value)


@pytest.mark.parametrize("key", ["store", "output", "done", "part"])
def test_of_other_paths_the_last_counts(key: str) -> None:
    """As an alias of a shell has one, and its user another."""
    assert {key: "b"} == sort_arguments([f"{key}=a", f"{key}=b"]).paths
    assert {"input": "a"} == sort_arguments(["input=a", "input=a"]).paths


def test_a_sweep_is_every_combination() -> None:
    """As Hydra's basic sweeper makes them."""
    made = combinations(("+pipeline=words", "++a.b=1,2", "++c=x,y"), {}.__getitem__)
    assert [m[1:] for m in made] == [
        ("++a.b=1", "++c=x"),
        ("++a.b=1", "++c=y"),
        ("++a.b=2", "++c=x"),
        ("++a.b=2", "++c=y"),
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["limit=choice(1,3)", "limit=2"], [("limit=2",)]),
        (["limit=2", "limit=choice(1,3)"], [("limit=2", "limit=1"), ("limit=2", "limit=3")]),
        (["++limit=1,2", "limit=3,4"], [("limit=3",), ("limit=4",)]),
        (["a=1,2", "b=3"], [("a=1", "b=3"), ("a=2", "b=3")]),
    ],
)
def test_the_last_value_of_a_key_counts_in_a_sweep_too(words: list[str], expected: list[tuple[str, ...]]) -> None:
    """As in Hydra: `limit=choice(1,3) limit=2` gave two rows for one run."""
    assert expected == combinations(words, {}.__getitem__)


@pytest.mark.parametrize("word", ["--frobnicate", "nothing", "=x"])
def test_what_is_no_override_is_refused(word: str) -> None:
    """With the word itself."""
    with pytest.raises(ConfigError, match="expected key=value"):
        sort_arguments([word])
