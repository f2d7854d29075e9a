"""What is wrong with a command line or a config file is said in one line that names it: exit status 2, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import Shell

import hpcurate
from hpcurate.errors import ConfigError
from stages.hello import HelloTask, LowerCase


@pytest.fixture
def pipelines(shell: Shell) -> Path:
    """The user's own `conf/pipeline`."""
    folder = shell.cwd / "conf" / "pipeline"
    folder.mkdir(parents=True)
    return folder


def refused(shell: Shell, *words: str) -> str:
    """The one line that a command is refused with; nothing was written."""
    error = shell.run(*words, status=2).stderr
    assert ("Traceback" in error, error.count("\n"), shell.store.exists()) == (False, 1, False), error
    return error


# -- values that are still to be given ---------------------------------------------------------------


def test_a_value_that_is_still_to_be_given_is_refused_with_its_key(shell: Shell, pipelines: Path) -> None:
    """`???` ran as a literal text; every one of them is named, with what to type."""
    (pipelines / "gaps.yaml").write_text(
        "# @package _global_\nname: ???\nsource: {_target_: stages.hello.Prompts, prompts: [a]}\n"
        "stages:\n  lower_case:\n    _target_: stages.hello.LowerCase\n    shard_tasks: ???\n    batch_size: ???\n"
    )
    told = refused(shell, "+pipeline=gaps", "stages.lower_case.batch_size=2")
    assert "stages.lower_case.shard_tasks: ??? is no value, give one: stages.lower_case.shard_tasks=VALUE" in told
    shell.inline("+pipeline=gaps", "stages.lower_case.batch_size=2", "stages.lower_case.shard_tasks=2")
    assert "name: ??? is no value, give one: name=VALUE" in shell.run("+pipeline=words", "name=???", status=2).stderr


def test_the_site_profile_has_no_such_value_either(shell: Shell) -> None:
    """It would have reached sbatch as `--account=???`."""
    profile = shell.folder / "config" / "hpcurate" / "site.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("account: ???\n")
    assert f"site ({profile}): account=???: it needs a value" in refused(shell, "+pipeline=words")


# -- files that are no YAML --------------------------------------------------------------------------

MALFORMED = [
    (b"a: 1\nb: [1,\n", ":3: not YAML: "),
    (b"a: 1\na: 2\n", ":2: not YAML: found duplicate key a"),
    (b"a:\n\t- 1\n", ":2: not YAML: "),
    (b"a: \xff\n", ": not YAML: it is no UTF-8 text"),
]


@pytest.mark.parametrize(("content", "expected"), MALFORMED)
def test_a_malformed_pipeline_is_refused_with_file_and_line(
    shell: Shell, pipelines: Path, content: bytes, expected: str
) -> None:
    """It was a traceback and exit status 1."""
    (pipelines / "bad.yaml").write_bytes(content)
    assert f"{pipelines / 'bad.yaml'}{expected}" in refused(shell, "+pipeline=bad")


@pytest.mark.parametrize(
    ("content", "expected"), [*MALFORMED[:1], MALFORMED[3], (b"- 1\n", ": expected lines of `key: v")]
)
@pytest.mark.parametrize("which", ["site", "model"])
def test_so_are_a_site_profile_and_a_model(shell: Shell, which: str, content: bytes, expected: str) -> None:
    """A list in the place of a mapping counted as an empty file."""
    path = shell.folder / "config" / "hpcurate" / "site.yaml" if which == "site" else shell.cwd / "conf/models/m.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert f"{path}{expected}" in refused(shell, "+pipeline=words")


# -- Hydra's own keys --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word", ["hydra.run.dir=/x", "hydra/launcher=slurm", "+hydra.job.name=x", "hydra.searchpath=[/x]"]
)
def test_keys_of_hydra_are_refused_with_ours(shell: Shell, word: str) -> None:
    """They were accepted and had no effect."""
    told = refused(shell, "+pipeline=words", word)
    assert f"{word.lstrip('+').partition('=')[0]}: hpcurate takes no key of hydra.*" in told
    assert "launcher= for hydra/launcher" in told


# -- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a/b", "..", "a b", ".hidden", "x" * 65, "a%j", "'a\nb'", "''"])
def test_a_name_that_is_no_part_of_a_folders_name_is_refused(shell: Shell, name: str) -> None:
    """It is a part of names of folders and of jobs."""
    assert (
        "expected at most 64 letters, digits, _ . and -"
        in shell.run("+pipeline=words", f"name={name}", status=2).stderr
    )


def test_python_refuses_such_a_name_too(tmp_path: Path) -> None:
    """`hpcurate.run(...)` is the same engine."""
    with pytest.raises(ConfigError, match="name=a/b: expected at most 64 letters"):
        hpcurate.run(
            [LowerCase()], [HelloTask(id="a", prompt="A")], store=tmp_path / "s", launcher="inline", name="a/b"
        )


# -- sweeps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("limit=interval(0,1)", "limit=interval(0,1): the values of an interval cannot be listed"),
        ("limit=glob(*)", "limit=glob(*): limit is no group of config files"),
        ("+pipeline=glob(z*)", "pipeline=glob(z*): none of them fits; there are: "),
    ],
)
def test_a_sweep_whose_values_cannot_be_listed_is_refused(shell: Shell, word: str, expected: str) -> None:
    """A traceback, and exit status 1."""
    assert expected in refused(shell, "-m", *([] if "pipeline" in word else ["+pipeline=words"]), word)


def test_a_glob_over_config_files_is_a_sweep(shell: Shell, pipelines: Path) -> None:
    """As with Hydra's basic sweeper."""
    for name in ("my_a", "my_b"):
        (pipelines / f"{name}.yaml").write_text(f"# @package _global_\ndefaults: [words]\nname: {name}\n")
    table = shell.run("-m", "+pipeline=glob(my_*)", "dry_run=true").stdout
    assert ("pipeline=my_a" in table, "pipeline=my_b" in table) == (True, True)


def test_combinations_that_are_one_run_are_one_row_and_said_to_be(shell: Shell) -> None:
    """They were two rows with the same run, without a word."""
    done = shell.inline("-m", "+pipeline=words", "limit=1,2", "stages.lower_case.batch_size=1,2")
    rows = [line for line in done.stdout.splitlines() if "batch_size" in line]
    assert ["limit=1", "limit=2"] == [row.split()[1] for row in rows]
    assert all(" or limit=" in row and "complete" in row for row in rows)
    assert 2 == done.stderr.count("2 combinations are one run, and the first of them was taken")
    assert 2 == len(list(shell.store.glob("runs/2*")))


def test_of_a_key_that_is_given_twice_the_last_counts(shell: Shell) -> None:
    """Two rows named the run of `limit=2` as that of `limit=1` and `limit=3`."""
    done = shell.inline("-m", "+pipeline=words", "limit=choice(1,3)", "limit=2")
    assert (1, 0) == (done.stdout.count("complete"), done.stdout.count("limit="))


# -- groups of tasks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["+dedup=semantic"], "there is no stage 'embed': it is of a group that is not chosen; type +embed=clip or +embed=siglip"),
        (["stages.split.sort.workers=2"], "stages.split.sort: it gets no whole groups, so nothing is sorted for it"),
        (["+dedup=exact", "stages.exact.sort.wokers=2"], "stages.exact.sort.wokers: there is no such key"),
        (["+dedup=exact", "stages.exact.sort.resources.memry=2GB"], "stages.exact.sort.resources.memry: there is no such"),
        (["+dedup=exact", "stages.exact.sort.resources=2GB"], "stages.exact.sort.resources"),
        (["+dedup=exact", "stages.exact.against=[kept.txt]"], "stages.exact.against: kept.txt: no Parquet file"),
    ],
)  # fmt: skip
def test_what_is_wrong_about_groups_and_duplicates(shell: Shell, words: list[str], expected: str) -> None:
    """With the key that was typed, before anything starts."""
    (shell.cwd / "a.mp4").write_bytes(b"")
    (shell.cwd / "kept.txt").write_text("a.mp4")
    assert expected in refused(shell, "+pipeline=video", "input=.", *words)
