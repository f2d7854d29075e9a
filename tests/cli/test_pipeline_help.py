"""What a pipeline, a key or a class means: `--help` of a pipeline, `reference NAME`, `--cfg`, `--info`."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import Shell

from hpcurate.cli.verbs.reference import about
from hpcurate.errors import ConfigError

STAGE = '''"""A stage of the user's own."""

from hpcurate import Stage
from hpcurate.task import FileTask


class Weigh(Stage[FileTask, FileTask]):
    """Keep what is heavy enough.

    Args:
        least: bytes of a file at least.
    """

    def __init__(self, least: int = 3) -> None:
        pass

    def process(self, tasks: list[FileTask]) -> list[FileTask]:
        return tasks
'''
PIPELINE = """# @package _global_
# Files that are heavy enough.
name: heavy
source: {_target_: hpcurate.source.Files, path: "${input}", extensions: [txt]}
stages:
  checks:
    chain:
      weigh: {_target_: stages.weigh.Weigh, least: 7}
      again: {_target_: stages.weigh.Weigh}
    shard_tasks: 12
  mine: {file: ./loose.py, least: '???'}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A folder with a pipeline, a stage in it, and one in a loose file."""
    shell = Shell(tmp_path_factory.mktemp("help"))
    for path, text in (
        ("conf/pipeline/heavy.yaml", PIPELINE),
        ("stages/weigh.py", STAGE),
        ("loose.py", STAGE.replace("Weigh", "Loose")),
    ):
        file = shell.cwd / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return shell


def test_help_of_a_pipeline_lists_every_key_of_the_users_own(project: Shell) -> None:
    """Source, members of chains and loose files, what is set and what is still to be given; nothing is started."""
    text = project.type("+pipeline=heavy", "--help").stdout
    for line in (
        "pipeline heavy",
        "  Files that are heavy enough.",
        "    source.extensions (tuple[str, ...]) = ['txt'] in this pipeline",
        "stages.weigh: stages.weigh.Weigh",
        "  Keep what is heavy enough.",
        "    stages.weigh.least (int) = 7 in this pipeline",
        "        bytes of a file at least.",
        "    stages.again.least (int) = 3",
        "    stages.mine.least (int) = ??? in this pipeline",
    ):
        assert line in text.splitlines(), text
    assert text == project.type("--help", "+pipeline=heavy").stdout
    assert not project.store.exists()


def test_reference_of_a_name(project: Shell) -> None:
    """A key, a stage's key, a class, the user's own class; a pipeline is answered with its help."""
    text = {name: project.type("reference", name).stdout for name in ("task_timeout", "stages.motion.threshold")}
    assert "task_timeout (float | None) = null" in text["task_timeout"]
    assert ("stages.video.motion.Motion" in text["stages.motion.threshold"]) > (
        "Split" in text["stages.motion.threshold"]
    )
    assert "threshold (float)" in project.type("reference", "Motion").stdout
    assert "bytes of a file at least." in project.type("reference", "stages.weigh.Weigh").stdout
    assert "+pipeline=heavy --help" in project.type("reference", "heavy", status=2).stderr
    assert "stages.NAME.resources.memory" in project.type("reference", "mem_gb", status=2).stderr
    with pytest.raises(
        ConfigError, match=r"params\.n: a pipeline has parameters of its own: type hpcurate \+pipeline="
    ):
        about("params.n")


def test_cfg_and_info_are_spelt_as_hydra_has_them(project: Shell) -> None:
    """`--cfg job`, a part of it, and where it comes from."""
    typed = ("+pipeline=heavy", "stages.mine.least=1", "input=/x")
    whole = project.type(*typed, "--cfg", "job", "--resolve").stdout
    assert whole == project.type(*typed, "--cfg").stdout
    assert "least: 7\n" in whole
    assert "extensions:\n- txt\n" in project.type(*typed, "--cfg", "job", "--package", "source").stdout
    assert "did you mean 'source'?" in project.type(*typed, "--cfg", "-p", "sorce", status=2).stderr
    info = project.type("+pipeline=heavy", "--info", "defaults").stdout
    assert f"  pipeline=heavy: {project.cwd / 'conf/pipeline/heavy.yaml'}" in info.splitlines()


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("~stages.again", ""),
        ("~stages.mine", ""),
        ("~stages.checks.shard_tasks", ""),
        ("~stages.agan", "~stages.agan: there is no such stage to leave out; did you mean 'again'?"),
        ("~stages.weigh.more", "~stages.weigh.more: there is no such key to leave out; there are: _target_, least"),
        ("~caption", "~caption: there is nothing of that name to leave out"),
    ],
)
def test_what_is_not_wanted_is_left_out(project: Shell, word: str, says: str) -> None:
    """A stage, a member of a chain, a key of either; with the names that there are."""
    done = project.typed("+pipeline=heavy", "stages.mine.least=1", word, "--cfg")
    assert says in done.stderr
    assert (2 if says else 0) == done.returncode
    if not says:
        assert f"{word.rpartition('.')[2]}:" not in done.stdout


def test_an_empty_chain_is_refused_with_what_leaves_it_out(project: Shell) -> None:
    """Hydra would compose it."""
    stderr = project.type("+pipeline=heavy", "~stages.weigh", "~stages.again", "--cfg", status=2).stderr
    assert "~stages.again: nothing is left of the chain checks; type ~stages.checks" in stderr


def test_a_file_that_does_not_say_where_it_belongs_is_named(project: Shell) -> None:
    """Without its first line Hydra puts a pipeline below `pipeline`, and says nothing."""
    bare = project.cwd / "conf" / "pipeline" / "bare.yaml"
    bare.write_text(PIPELINE.replace("# @package _global_\n", ""))
    own = project.cwd / "conf" / "embed" / "own.yaml"
    own.parent.mkdir(exist_ok=True)
    own.write_text("_target_: stages.weigh.Weigh\n")
    try:
        stderr = project.type("+pipeline=bare", "--cfg", status=2).stderr
        assert "the first line of its file must be `# @package _global_`" in stderr
        assert str(bare) in stderr
        assert 1 == stderr.count(".yaml"), "all those that do say it were named, too"
        stderr = project.type("+pipeline=heavy", "+embed=own", "--cfg", status=2).stderr
        assert "`# @package stages.embed`" in stderr
    finally:
        bare.unlink()
        own.unlink()


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("timeout_min=60", "stages.NAME.resources.time=60m"),
        ("stages.mine.slurm_partition=gpu", "stages.NAME.sbatch.partition=VALUE"),
        ("stages.mine.resources.mem_gb=4", "stages.NAME.resources.memory=32GB"),
        ("stages.mine.stage_batch_size=4", "stages.NAME.batch_size=16"),
    ],
)
def test_a_word_of_another_tool_is_answered_with_ours(project: Shell, word: str, ours: str) -> None:
    """At the top, of a stage, of its resources."""
    typed = ("+pipeline=heavy", "stages.mine.least=1", f"input={project.cwd}", f"store={project.store}", word)
    assert ours in project.type(*typed, "dry_run=true", "launcher=local", status=2).stderr


def test_a_stage_written_for_another_tool_is_answered_with_our_methods(project: Shell) -> None:
    """Before, its first task failed with `does not define process`."""
    Path(project.cwd, "ported.py").write_text(
        STAGE.replace("Weigh", "Ported").replace("def process(", "def process_data(")
    )
    typed = ("+pipeline=heavy", "stages.mine.least=1", f"input={project.cwd}", f"store={project.store}")
    stderr = project.type(*typed, "stages.mine.file=./ported.py", "dry_run=true", "launcher=local", status=2).stderr
    assert "stages.mine: Ported has no process(self, tasks): process_data is process(self, tasks) here" in stderr


def test_a_source_may_be_a_plain_class(project: Shell) -> None:
    """Not one of attrs: its keys are the parameters of its constructor."""
    source = "class Own:\n    def __init__(self, count: int = 3, extra: str = '') -> None: ...\n"
    (project.cwd / "stages/own.py").write_text(source)
    pipeline = PIPELINE.replace('{_target_: hpcurate.source.Files, path: "${input}", extensions: [txt]}', OWN)
    (project.cwd / "conf/pipeline/own.yaml").write_text(pipeline.replace("heavy", "own"))
    lines = project.type("+pipeline=own", "--help").stdout.splitlines()
    assert "    source.count (int) = 4 in this pipeline" in lines


OWN = "{_target_: stages.own.Own, count: 4}"
