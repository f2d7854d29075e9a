"""The Tab key: what is offered, from which files, and in real shells."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkout import ROOT

from hpcurate.cli import main
from hpcurate.cli.completion.answer import for_bash, lines, split_line
from hpcurate.cli.completion.scripts import SCRIPTS
from hpcurate.cli.completion.table import FILE, read_table, written
from hpcurate.cli.completion.words import Word

RUNS = ["20260101-000000-clips-aaaaaa", "20260202-000000-clips-bbbbbb"]
STAGE = (
    "import attrs\nfrom hpcurate import Stage\nimport a_module_that_is_not_there\n\n\n"
    "class Base(Stage):\n    def __init__(self, limit: int = 5, *, colour: str = 'red') -> None:\n        pass\n\n\n"
    "class Mine(Base):\n    pass\n\n\n@attrs.define\nclass Made(Stage):\n    wide: int = 1\n"
)
PIPELINE = (
    "# @package _global_\ndefaults:\n  - other\n  - /caption: mine\nstages:\n  mine: {_target_: stages.own.Mine}\n"
    "  both:\n    chain:\n      made: {_target_: stages.own.Made}\n      motion: {_target_: stages.video.motion.Motion}\n"
    "params:\n  least: {default: a, choices: [a, b]}\n  data: {type: path}\n"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline and a stage of its own, and a store with two runs."""
    folder = tmp_path_factory.mktemp("project")
    files = {
        "stages/own.py": STAGE,
        "conf/pipeline/own.yaml": PIPELINE,
        "conf/pipeline/other.yaml": "# @package _global_\nparams: {deep: false}\nstages:\n  first: {_target_: stages.hello.Prnt}\n",
        "conf/pipeline/odd.yaml": "stages: [\n",
        "conf/caption/mine.yaml": "# @package stages.caption\n_target_: stages.own.Mine\n",
        "conf/site/here.yaml": "store: store\n",
        "data/one/x.mp4": "",
        "odd name.txt": "",
    }
    for run in RUNS:
        files[f"store/runs/{run}/pipeline.json"] = json.dumps(
            {"pipeline": {"stages": [{"name": "split"}, {"name": run[-6:]}]}}
        )
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def there(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In that folder, looking at that store."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("HPCURATE_STORE", str(project / "store"))
    return project


def offered(*words: str) -> list[str]:
    """What is offered for the last of the words."""
    return [line.partition("\t")[0] for line in lines(["fish", *words])]


def test_the_table_is_what_the_parsers_and_the_fields_say() -> None:
    """`HPCURATE_ACCEPT=1` writes it: whoever adds an option runs this test with it."""
    if os.environ.get("HPCURATE_ACCEPT"):
        FILE.write_text(written())
    assert FILE.read_text() == written()
    assert read_table().verbs.keys() == main.VERBS.keys()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sta"], ["status", "stages."]),
        (["status", "--js"], ["--json"]),
        (["status", ""], ["latest", *reversed(RUNS)]),
        (["status", "20260202"], [RUNS[1]]),
        (["status", "--store", "nowhere", "2"], []),
        (["status", "--site", "h"], ["here"]),
        (["status", "site=h"], ["site=here"]),
        (["status", "site=here", "2026"], [*reversed(RUNS)]),
        (["status", "store=st"], ["store=stages/", "store=store/"]),
        (["logs", "--stage", ""], ["split", "bbbbbb"]),
        (["logs", RUNS[0], "--stage", "a"], ["aaaaaa"]),
        (["why", "--stage=s"], ["--stage=split"]),
        (["compare", "latest", "20260101"], [RUNS[0]]),
        (["envs", "bui"], ["build"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["+pipeline=o"], ["+pipeline=odd", "+pipeline=other", "+pipeline=own"]),
        (["+pipeline=own", "+caption=m"], ["+caption=mine"]),
        (["+pipeline=own", "stages."], [f"stages.{name}." for name in ("first", "caption", "mine", "both", "made", "motion")]),
        (["+pipeline=own", "stages.mine.li"], ["stages.mine.limit="]),
        (["+pipeline=own", "stages.caption.col"], ["stages.caption.colour="]),
        (["+pipeline=own", "stages.made.w"], ["stages.made.wide=", "stages.made.workers=", "stages.made.workers_per_node="]),
        (["+pipeline=own", "stages.motion.thr"], ["stages.motion.threshold="]),
        (["+pipeline=own", "stages.mine.device=c"], ["stages.mine.device=cuda", "stages.mine.device=cpu"]),
        (["+pipeline=own", "stages.mine.resources.cp"], ["stages.mine.resources.cpus="]),
        (["+pipeline=own", "para"], ["params."]),
        (["para"], []),
        (["+pipeline=own", "params."], ["params.deep=", "params.least=", "params.data="]),
        (["+pipeline=own", "params.least="], ["params.least=a", "params.least=b"]),
        (["+pipeline=own", "params.deep=t"], ["params.deep=true"]),
        (["+pipeline=own", "params.data=data/"], ["params.data=data/one/"]),
        (["+pipeline=own", "rerun=m"], ["rerun=mine", "rerun=made", "rerun=motion"]),
        (["+pipeline=own", "~stages.mi"], ["~stages.mine"]),
        (["+pipeline=own", "launcher=in"], ["launcher=inline"]),
        (["+pipeline=own", "launcher=inline,l"], ["launcher=inline,local"]),
        (["+pipeline=own", "dry"], ["dry_run="]),
        (["+pipeline=own", "wait=t"], ["wait=true"]),
        (["+pipeline=own", "budget."], ["budget.failed=", "budget.fraction="]),
        (["+pipeline=own", "input=data/"], ["input=data/one/"]),
        (["+pipeline=own", "--con"], ["--config-dir"]),
        (["explain", "+pipeline=ow"], ["+pipeline=own"]),
        (["retry", RUNS[0], "launcher=sl"], ["launcher=slurm"]),
        (["retry", "--kind", "gpu"], ["gpu_oom"]),
        (["nonsense", "x"], []),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_offered(there: Path, words: list[str], expected: list[str]) -> None:
    """Verbs, options, runs, stages, pipelines, groups, keys: from the files here, none of which is imported."""
    assert offered(*words) == expected


@pytest.mark.parametrize(
    "words", [["+pipeline=odd", "stages."], ["status", "--store", "/proc/1/root", ""], ["\udcff"], []]
)
def test_what_cannot_be_read_offers_nothing(there: Path, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """And prints no error into the line that somebody types."""
    main.run(["__complete", "zsh", *words])
    main.run(["__complete", "bash"])
    main.run(["__complete"])
    assert ("latest\n" * (words[:1] == ["status"]), "") == capfd.readouterr()


def test_help_stands_beside_a_word(there: Path) -> None:
    """In zsh and fish."""
    assert lines(["zsh", "why", "--sta"]) == ["--stage\tonly this stage"]


def test_bash_gets_what_follows_its_word_breaks() -> None:
    """It cuts `+pipeline=vid` at the `=`; what it would take apart is quoted."""
    assert for_bash([Word("+pipeline=video")], "+pipeline=vi", " \n=:") == ["video"]
    assert for_bash([Word("input=a b")], "input=a", " \n") == ["input=a\\ b"]
    assert split_line("hpcurate status 'a b") == ["hpcurate", "status", "a b"]
    assert split_line("hpcurate status ") == ["hpcurate", "status", ""]


def test_an_answer_imports_nothing_heavy() -> None:
    """It is asked with each Tab: no verb, no Hydra, no rich."""
    code = (
        "import sys; from hpcurate.cli.main import run; run(['__complete', 'fish', '+pipeline=video', 'stages.s']); "
        "bad = [n for n in sys.modules if n.partition('.')[0] in ('hydra', 'rich', 'numpy', 'av', 'submitit') "
        "or n.startswith('hpcurate.cli.verbs')]; sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert "stages.split." in done.stdout


# -- real shells ------------------------------------------------------------------------------------

SHELLS = {
    "bash": ["bash", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
LOADED = {
    "bash": ". ./script\n",
    "zsh": "autoload -U compinit; compinit -u -D; . ./script\n",
    "fish": "source ./script\n",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_with_tab(there: Path, shell: str) -> None:
    """On a terminal: a pipeline after `=`, a key of its stage, without a blank where the word goes on."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell}: scripts/install-test-deps installs it")
    (there / "script").write_text(SCRIPTS[shell])
    bin = there / "bin"
    bin.mkdir(exist_ok=True)
    (bin / "hpcurate").write_text(
        f'#!/bin/sh\nif [ "$1" = __complete ]; then exec {sys.executable} -m hpcurate "$@"; fi\n'
        'printf "typed<%s>" "$@"; echo\n'
    )
    (bin / "hpcurate").chmod(0o755)
    keys = f"{LOADED[shell]}hpcurate +pipeline=ow\tstages.mine.lim\t7\n"
    env = {
        **os.environ,
        "PATH": f"{bin}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "HOME": str(there),
    }
    assert "typed<+pipeline=own>typed<stages.mine.limit=7>" in on_a_terminal(SHELLS[shell], keys, env)


def on_a_terminal(command: list[str], keys: str, env: dict[str, str]) -> str:
    """What a shell writes until it has answered what was typed."""
    child, master = pty.fork()
    if not child:
        os.execvpe(command[0], command, env)
    read = b""
    try:
        os.write(master, keys.encode())
        until = time.monotonic() + 60
        while b"typed<stages" not in read and time.monotonic() < until:
            if select.select([master], [], [], 1)[0]:
                read += os.read(master, 65536)
    finally:
        os.close(master)  # which hangs up
        os.waitpid(child, 0)
    return read.decode(errors="replace")


def test_each_script_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """With the name of the file where it belongs."""
    for shell, script in SCRIPTS.items():
        assert main.run(["completion", shell]) == 0
        assert capsys.readouterr().out == script
        assert f"hpcurate completion {shell} > " in script
