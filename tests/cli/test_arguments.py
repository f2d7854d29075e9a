"""How verbs read their command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import Shell

from hpcurate.cli.arguments import VerbParser, as_keys, as_options
from hpcurate.cli.store_choice import StoreChoice, choose_store
from hpcurate.cli.verbs.common import run_parser
from hpcurate.errors import ConfigError


def _parser() -> VerbParser:
    parser = run_parser("look", "a verb")
    parser.add_argument("--stage")
    parser.add_argument("--worker", type=int)
    parser.add_argument("--kind", choices=["oom", "timeout"])
    return parser


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--stge", "x"], "look: --stge: there is no such option; did you mean '--stage'? `hpcurate look --help`"),
        (["r", "s"], "look: s: one word too many; `hpcurate look --help` shows all"),
        (["--worker", "one"], "look: --worker 'one': expected a whole number; "),
        (["--kind", "omm"], "look: --kind 'omm': there is no such choice; did you mean 'oom'? "),
        (["--stage"], "look: --stage: it needs a value; "),
    ],
)
def test_what_is_wrong_is_named_with_what_was_meant(words: list[str], told: str) -> None:
    """Argparse prints the usage and ends the process."""
    with pytest.raises(ConfigError) as error:
        _parser().parse_args(words)
    assert told in str(error.value)


@pytest.mark.parametrize("words", [["store=/s", "r"], ["r", "store=/s"], ["--store", "/s", "r"], ["r", "--store=/s"]])
def test_a_store_is_named_as_a_key_or_as_an_option(words: list[str]) -> None:
    """Runs take `store=`, verbs took `--store` only: of `status store=/s` it was the name of a run."""
    options = _parser().parse_args(words)
    assert (options.store, options.run) == ("/s", "r")


def test_a_key_that_is_no_option_stays_what_it_is() -> None:
    """`runs limit=1` searches for that."""
    assert ["limit=1", "x/store=y"] == as_options(["limit=1", "x/store=y"], {"--store": None})
    assert ["store=y"] == as_options(["store=y"], {})


def test_a_command_that_is_explained_takes_the_option_too() -> None:
    """`explain +pipeline=x --store DIR` was refused: expected key=value."""
    assert ["+p=x", "store=/s", "site=y", "--store"] == as_keys(["+p=x", "--store", "/s", "--site=y", "--store"])


def test_a_store_may_be_that_of_a_site_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of conf/site, by its name, with the same word that a run takes; a run with it did not go to that store."""
    (tmp_path / "conf" / "site").mkdir(parents=True)
    file = tmp_path / "conf" / "site" / "here.yaml"
    file.write_text("store: /of/here\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPCURATE_STORE", raising=False)
    assert choose_store(None, "here") == StoreChoice("/of/here", f"site profile {file}")
    with pytest.raises(ConfigError, match=r"site=hre: no such site profile; did you mean 'here'\?"):
        choose_store(None, "hre")


def test_a_run_with_a_site_profile_goes_to_its_store(shell: Shell) -> None:
    """It went to that of the user's own profile, or of the last run."""
    (shell.cwd / "conf" / "site").mkdir(parents=True)
    (shell.cwd / "conf" / "site" / "here.yaml").write_text(f"store: {shell.store}\n")
    shell.type("+pipeline=words", "site=here", "launcher=inline")
    assert (shell.store / "runs").is_dir()
    shell.extra["XDG_STATE_HOME"] = str(shell.folder / "another")
    assert "words" in shell.type("runs", "site=here").stdout
