"""From what stands in fields to the words of a command, and back from what the command refuses to the fields."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from form_server import OTHER, SECRET
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from hpcurate.cli.start.compose import compose
from hpcurate.cli.start.form_fields import form_of
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.form.command import MOST_BYTES, FieldErrors, asked, field_errors, line
from hpcurate.form.fields import Field, Form, Part
from hpcurate.form.secret_file import SecretFile
from hpcurate.masks import mask

FIELDS = (
    Field(key="input", kind="literal"),
    Field(key="store", kind="literal", text="/s", required=True, always=True),
    Field(key="params.text", kind="text", text="plain"),
    Field(key="params.many", kind="integer", text="3"),
    Field(key="params.much", kind="number", text="0.5"),
    Field(key="params.deep", kind="switch", text="false", choices=(True, False)),
    Field(key="params.size", kind="choice", text="1", choices=(1, 2, "auto")),
    Field(key="params.names", kind="data", text='["a"]'),
    Field(key="params.token", kind="secret"),
    Field(key="stages.a.text", kind="text"),
    Field(key="stages.a.min_s", kind="number"),
    Field(key="env.THE_KEY", kind="secret"),
)
FORM = Form(pipeline="x", about=(), parts=(Part(title="", fields=FIELDS),), words=("+pipeline=x", "params.many=3"))


def words(**given: str) -> list[str]:
    """What is typed besides pipeline and store; `__` stands for a dot."""
    found = asked(FORM, {key.replace("__", "."): text for key, text in given.items()}, ["A", "B"])
    return [word for word in found.words if word not in ("+pipeline=x", "params.many=3", "store=/s")]


TYPED = [
    ({}, []),
    ({"input": "/a b/*.mp4"}, ["input=/a b/*.mp4"]),
    ({"params__text": ""}, ["params.text=''"]),
    ({"params__text": "null"}, ["params.text='null'"]),
    ({"params__text": "a\r\nb"}, ["params.text='a\nb'"]),
    ({"params__many": " 4 "}, ["params.many=4"]),
    ({"params__many": ""}, ["params.many=null"]),
    ({"params__names": ""}, ["params.names=null"]),
    ({"params__much": "1e-4"}, ["params.much=0.0001"]),
    ({"params__much": "2"}, ["params.much=2"]),
    ({"params__deep": "true"}, ["params.deep=true"]),
    ({"params__size": "2"}, ["params.size=2"]),
    ({"params__size": "auto"}, ["params.size=auto"]),
    ({"params__names": "[a, {b: '1'}, null, 1.5]"}, ["params.names=[a,{b: '1'},null,1.5]"]),
    ({"params__token": "A"}, ["params.token=${oc.env:A}"]),
    ({"env__THE_KEY": "A"}, []),
    ({"stages__a__text": "x, y"}, ["stages.a.text='x, y'"]),
    ({"stages__a__text": ""}, []),
    ({"no_such_field": "1", "dry_run": "false"}, []),
]


@pytest.mark.parametrize(("given", "typed"), TYPED)
def test_what_was_changed_is_typed(given: dict[str, str], typed: list[str]) -> None:
    """What stands in a field at first holds already; a field that is not of this form types nothing."""
    assert typed == words(**given)


def test_a_changed_value_takes_the_place_of_one_that_was_typed_with_the_form() -> None:
    """Not twice: of two the reader would have to know which one counts."""
    assert ("+pipeline=x", "params.many=4", "store=/s") == asked(FORM, {"params.many": "4"}, []).words
    with_input = msgspec.structs.replace(FORM, words=("+pipeline=x", "input=/a"))
    assert ("+pipeline=x", "store=/s") == asked(with_input, {"input": ""}, []).words


def test_a_secret_is_a_name_for_a_variable() -> None:
    """A parameter names the variable itself; one that the pipeline reads gets the value of the name that was chosen."""
    found = asked(FORM, {"params.token": "A", "env.THE_KEY": "B"}, ["A", "B"])
    assert {"A": "A", "THE_KEY": "B"} == found.secrets


WRONG = [
    ("params.many", "1.5", "whole number"),
    ("params.many", "1" * 5000, "whole number"),
    ("params.much", "0x1", "a number"),
    ("params.deep", "yes", "one of true, false"),
    ("params.size", "3", "one of 1, 2, auto"),
    ("params.names", "[a", "YAML"),
    ("params.names", "2026-01-01", "not a date"),
    ("params.names", "&x [*x]", "without references"),
    ("params.names", "[" * 600, "YAML"),
    ("params.names", "{a b: 1}", "no form for this key"),
    ("params.names", "{password: hunter2hunter2}", "is a secret"),
    ("params.token", "C", "choose one of the names"),
    ("params.text", "a\0", "NUL"),
    ("params.text", "é" * MOST_BYTES, "longer than"),
    ("params.text", "${result:a.b}", "something else where the stage runs"),
    ("params.text", "<run>/output/x", "something else where the stage runs"),
    ("input", "a\0", "NUL"),
    ("store", " ", "it is needed"),
]


@pytest.mark.parametrize(("key", "text", "message"), WRONG)
def test_what_cannot_be_is_refused_at_its_field(key: str, text: str, message: str) -> None:
    """Before any process is started; all wrong fields at once."""
    with pytest.raises(FieldErrors) as refused:
        asked(FORM, {key: text, "stages.a.min_s": "x"}, ["A"])
    assert {key, "stages.a.min_s"} == refused.value.errors.keys()
    assert message in refused.value.errors[key]
    assert "hunter2" not in str(refused.value)


def test_one_variable_has_one_secret() -> None:
    """Two fields that want it with two values cannot both have it."""
    with pytest.raises(FieldErrors, match="THE_KEY has one value"):
        asked(FORM, {"params.token": "THE_KEY", "env.THE_KEY": "A"}, ["A", "THE_KEY"])


def test_the_digest_is_that_of_words_and_names() -> None:
    """Whatever makes another run, or gives it another secret, makes another digest."""
    given: list[dict[str, str]] = [
        {},
        {"input": "a"},
        {"params.token": "A"},
        {"env.THE_KEY": "A"},
        {"env.THE_KEY": "B"},
    ]
    digests = [asked(FORM, one, ["A", "B"]).digest for one in given]
    assert (len(given), digests[0]) == (len(set(digests)), asked(FORM, {"params.many": "3"}, []).digest)


def test_the_line_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    """It gives the program exactly these words, and reads the secret from its file by itself."""
    folder, file = tmp_path / "a b", tmp_path / "it's mine"
    folder.mkdir()
    file.write_text(f"A=x={SECRET}\nB={OTHER}\n")
    found = asked(FORM, {"params.text": "a 'b' $(c)\n`d`", "params.token": "A", "env.THE_KEY": "B"}, ["A", "B"])
    typed = line(found, str(folder), str(file))
    show = 'hpcurate() { printf \'%s\\0\' "$PWD" "$A" "$THE_KEY" "$@"; }; '
    done = subprocess.run(["bash", "-c", show + typed], capture_output=True, text=True, check=True)
    assert [str(folder), f"x={SECRET}", OTHER, *found.words, ""] == done.stdout.split("\0")
    assert SECRET not in typed


REFUSALS = [
    ("params.text: expected str", ["params.text"]),
    ("params.text, params.many: ??? is no value", ["params.text", "params.many"]),
    ("stages.a.min_s=-1: must be at least 0", ["stages.a.min_s"]),
    ("params.names[0]: expected", ["params.names"]),
    ("store=/x: is private", ["store"]),
    ("params.textual: no such", [""]),
    ("no pipeline", [""]),
]


@pytest.mark.parametrize(("message", "keys"), REFUSALS)
def test_what_the_command_refuses_is_of_a_field(message: str, keys: list[str]) -> None:
    """By the keys that its message begins with; the empty key stands for the whole form."""
    assert dict.fromkeys(keys, message) == field_errors(f"hpcurate: {message}\n", FORM)


# -- against the real configuration ---------------------------------------------------------------------

COUNT = 20
HARD = ["\\", "$", "{", "}", "${", "${params.t0}", "\\${", "'", '"', "\n", ",", "[", "=", " ", "é", "(", ":", "~", "#"]
TEXTS = st.lists(st.one_of(st.sampled_from(HARD), st.text(max_size=2)), max_size=6).map("".join)


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Form:
    """A pipeline of texts, each given to a stage through a parameter, and one directly."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "pipeline").mkdir()
    params = "\n".join(f"  t{number}: {{default: d, type: str}}" for number in range(COUNT))
    given = "\n".join(f"    x{number}: ${{params.t{number}}}" for number in range(COUNT))
    head = "# @package _global_\nname: texts\nsource: {_target_: stages.hello.Prompts, prompts: [one]}\n"
    text = f"{head}params:\n{params}\nstages:\n  a:\n    _target_: stages.hello.LowerCase\n{given}\n"
    (folder / "pipeline" / "texts.yaml").write_text(text)
    return form_of(sort_arguments(["+pipeline=texts", "store=/s", "--config-dir", str(folder)]))


@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate])
@example(texts=["=#r\\\n"] * COUNT)  # what `$` of a regular expression finds before the last line's end
@given(texts=st.lists(TEXTS, min_size=COUNT, max_size=COUNT))
def test_a_stage_gets_what_was_typed(form: Form, texts: list[str]) -> None:
    """Through the words, Hydra, OmegaConf and the parameters; what cannot be is refused at its field instead."""
    given = {f"params.t{number}": text for number, text in enumerate(texts)}
    with_lines = {key: text.replace("\r\n", "\n").replace("\r", "\n") for key, text in given.items()}
    try:
        found = asked(form, given, [])
    except FieldErrors as refused:
        rightly = [key for key in refused.errors if "\0" in given[key]]
        assert list(refused.errors) == rightly  # noqa: PT017 - it need not be refused
        return
    typed = sort_arguments(found.words)
    missing = [key for key, text in with_lines.items() if text == "???"]
    if missing:
        return
    plain: dict[str, Any] = compose(typed.overrides, typed.paths, form.config_dirs).with_output("/o")
    assert list(with_lines.values()) == [plain["stages"]["a"][f"x{number}"] for number in range(COUNT)]
    assert shlex.split(shlex.join(found.words)) == list(found.words)


# -- what a command prints ---------------------------------------------------------------------------------


def test_what_a_command_prints_is_kept_with_secrets_masked(tmp_path: Path) -> None:
    """Also where the name of the variable does not look like one, and a value comes in two pieces."""
    file = tmp_path / "log"
    words = [sys.executable, "-m", "hpcurate.form.kept", str(file), "MINE"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, env={**os.environ, "MINE": OTHER}) as keeper:
        assert keeper.stdin is not None
        data = f"before {OTHER} behind\n".encode()
        for part in (data[:12], data[12:]):
            keeper.stdin.write(part)
            keeper.stdin.flush()
        keeper.stdin.close()
    assert ("before ***MINE*** behind\n", 0o600) == (file.read_text(), file.stat().st_mode & 0o777)


# -- the file of secrets --------------------------------------------------------------------------------


def secret_file(folder: Path, text: str, mode: int = 0o600) -> SecretFile:
    """With that content."""
    path = folder / "secrets"
    path.write_text(text)
    path.chmod(mode)
    return SecretFile(str(path))


def test_values_are_taken_as_they_stand_there(tmp_path: Path) -> None:
    """Behind the first `=`, to the end of the line; and are masked in whatever is shown from then on."""
    value = "s=p ä'c#\\1-taken-as-it-is"
    found = secret_file(tmp_path, f"# mine\n\nA={value}\r\nB=0123456789\n")
    assert (("A", "B"), {"A": value}) == (found.names(), found.values(["A"]))
    assert "x ***A***" == mask(f"x {value}")
    assert () == SecretFile(str(tmp_path / "none")).names()


WRONG_FILES = [
    ("A 0123456789\n", "line 1: expected NAME=value"),
    ("export A=0123456789\n", "line 1: expected NAME=value"),
    ("A=0123456789\nA=9876543210\n", "line 2: A stands there twice"),
    ("A='0123456789'\n", "line 1: write the value of A as it is"),
    ("A= 0123456789\n", "line 1: write the value of A as it is"),
    ("A=0123456\n", "less than 8 characters"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_FILES)
def test_a_line_that_is_wrong_is_named_without_its_value(tmp_path: Path, text: str, message: str) -> None:
    """What stands there may be a secret."""
    with pytest.raises(Exception, match=message) as refused:
        secret_file(tmp_path, text).names()
    assert "012345" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_of_others_is_refused(tmp_path: Path, mode: int) -> None:
    """With what to type; so is what is no file."""
    with pytest.raises(Exception, match=r"others may read or write it; type chmod 600 "):
        secret_file(tmp_path, "A=0123456789\n", mode).names()
    with pytest.raises(Exception, match="expected a file"):
        SecretFile(str(tmp_path)).names()
