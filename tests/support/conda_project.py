"""A project whose stage runs in a conda environment that the test builds: fixtures `channel` and `there`."""

from __future__ import annotations

from pathlib import Path

import pytest
from channel import make_channel
from shell import Shell

TELL = (
    "import sys, os\nfrom hpcurate import FileTask, Stage\n\n\n"
    "class Tell(Stage[FileTask, FileTask]):\n"
    "    def process(self, tasks):\n        import tinypkg\n"
    "        for task in tasks:\n"
    "            told = [sys.prefix, sys.version.split()[0], str(tinypkg.VALUE), os.environ['TINY_HOME'], os.environ['CONDA_PREFIX']]\n"
    "            task.source = '|'.join(told)\n"
    "        return tasks\n"
)
PIPELINE = (
    "# @package _global_\nname: tell\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
    "stages: {tell: {file: tell.py, env: tiny}}\n"
)


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A channel, for all tests here."""
    return make_channel(tmp_path_factory.mktemp("conda"))


@pytest.fixture
def there(shell: Shell, channel: tuple[str, str]) -> Shell:
    """A project with an environment file; packages are cached for all tests, nobody's own."""
    (shell.cwd / "envs").mkdir()
    write(shell, channel, "[python, tinypkg]")
    (shell.cwd / "tell.py").write_text(TELL)
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "tell.yaml").write_text(PIPELINE)
    cache = Path(channel[0].removeprefix("file://")).parent / "cache"
    shell.extra = {"RATTLER_CACHE_DIR": str(cache)}
    return shell


def write(shell: Shell, channel: tuple[str, str], dependencies: str) -> None:
    """The environment file."""
    (shell.cwd / "envs" / "tiny.yml").write_text(
        f"name: tiny\nchannels:\n  - {channel[0]}\ndependencies: {dependencies}\n"
    )


def built(shell: Shell) -> Path:
    """`hpcurate envs build tiny`: the prefix."""
    return Path(shell.type("envs", "build", "tiny", "--store", str(shell.store)).stdout.splitlines()[-1])
