"""The command line: exit codes, one clear message, nothing written when refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from shell import Shell

SMALL = "launcher=local"


def test_a_run_ends_with_its_name_and_state(shell: Shell) -> None:
    """The last line names run and state; the log holds what the stage printed."""
    done = shell.type("+pipeline=words", f"store={shell.store}", SMALL)
    assert re.fullmatch(r"\d{8}-\d{6}-words-\w{6}: complete", done.stdout.splitlines()[-1])
    assert "\x1b" not in done.stdout + done.stderr  # no colours and no bars where no terminal is
    assert "once upon a time" in shell.type("logs", "--stage", "show").stdout


def test_nothing_is_written_to_the_current_folder(shell: Shell) -> None:
    """Not by a run, not by a verb; it may as well be read-only."""
    shell.cwd.chmod(0o555)
    shell.type("+pipeline=words", f"store={shell.store}", SMALL)
    shell.type("status")
    assert list(shell.cwd.iterdir()) == []


REFUSED = [
    (["+pipeline=hallo"], "pipeline=hallo: no such pipeline; did you mean 'hello'?"),
    (["+pipeline=words", "stagse.show.workers=1"], "stagse.show.workers"),
    (["+pipeline=words", "budgett.failed=1"], "did you mean 'budget'?"),
    (["+pipeline=words", "stages.show.wrkers=1"], "stages.show.wrkers: there is no such key; did you mean 'workers'?"),
    (["+pipeline=words", "stages.shwo.workers=1"], "stages.shwo: has no _target_"),
    (["+pipeline=words", "stages.show.workers=many"], "stages.show.workers='many'"),
    (["+pipeline=words", "stages.show.resources.cpu=1"], "stages.show.resources.cpu: there is no such key; did you mean 'cpus'?"),
    (["+pipeline=words", "stages.show.resources.memory=lots"], "'lots' is not a size"),
    (["+pipeline=words", "stages.show.after=[nobody]"], "stages.show.after: there is no stage 'nobody'"),
    (["+pipeline=words", "stages.show._target_=stages.hello.Prnt"], "stages.show._target_"),
    (["+pipeline=words", "stages.show._target_=no.such.module.Stage"], "cannot import stage class"),
    (["+pipeline=words", "stages.show._target_=stages.no.Stage"], "in the folder where you type the command (/"),
    (["+pipeline=words", "stages.show._target_=stages.video.probe.Probe"], "stages.show takes FileTask, but lower_case gives HelloTask"),
    (["+pipeline=words", "stages.show.needs=lower_case"], "Expected `list`, got `str`; type [lower_case]"),
    (["+pipeline=words", "name=${results:a.b}"], "name: ${results:…} stands for nothing; did you mean 'result'?"),
    (["+pipeline=words", "launcher.wrkers=1"], "launcher.wrkers"),
    (["+pipeline=words", "launcher=slrum"], "launcher=slrum: no such choice; did you mean 'slurm'?"),
    (["+pipeline=words", "wait=maybe"], "wait='maybe'"),
    (["+pipeline=video"], "input: this pipeline reads files"),
    (["+pipeline=video", "input=/no/such/folder"], "input=/no/such/folder: no such folder or file"),
    (["+pipeline=video", "input=.", "stages.split.treshold=1"], "stages.split.treshold: there is no such key; did you mean 'threshold'?"),
    (["+pipeline=video", "input=.", "stages.split.min_s=short"], "stages.split.min_s"),
    (["+pipeline=video", "input=.", "stages.motion.treshold=1"], "treshold: there is no such key; did you mean 'threshold'?"),
    (["+pipeline=video", "input=."], "no file with extension"),
    (["frobnicate"], "neither a verb nor key=value"),
    (["statsu"], "did you mean 'status'?"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_bad_input_is_refused_with_the_key_and_the_fix(shell: Shell, words: list[str], message: str) -> None:
    """One message, exit 2, no traceback, nothing written or submitted."""
    more = [] if len(words) == 1 and "=" not in words[0] else [f"store={shell.store}"]
    launcher = [] if any(w.startswith("launcher") for w in words) or not more else [SMALL]
    if any(w.startswith("launcher.") for w in words):
        launcher = [SMALL]
    done = shell.type(*words, *launcher, *more, status=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not shell.store.exists()
    assert list(shell.cwd.iterdir()) == []


def test_an_unwritable_store_is_refused(shell: Shell) -> None:
    """Before the input is read; /proc takes no folder from anybody."""
    done = shell.type("+pipeline=words", "store=/proc/nowhere", SMALL, status=2)
    assert "store=/proc/nowhere" in done.stderr


def test_a_store_of_another_format_is_refused(shell: Shell) -> None:
    """With both versions and what to do."""
    shell.store.mkdir()
    (shell.store / "format.json").write_text('{"format": 99}')
    done = shell.type("+pipeline=words", f"store={shell.store}", SMALL, status=2)
    assert "has format 99" in done.stderr


def test_a_sweep_runs_each_and_shares_what_it_can(shell: Shell) -> None:
    """A bad combination does not stop the others; the worst status wins; early stages ran once."""
    words = ["-m", "+pipeline=words", f"store={shell.store}", SMALL, "name=one,b/ad,two"]
    done = shell.type(*words, status=2)
    states = [line.split()[-1] for line in done.stdout.splitlines() if re.search(r"-(one|two)-", line)]
    assert states == ["complete", "complete"]
    assert "refused: name=b/ad" in done.stdout
    assert len(list(shell.store.glob("stages/lower_case-*"))) == 1


def test_a_users_own_stages_and_conf_add_to_ours(shell: Shell) -> None:
    """A `stages/` and `conf/` in the current folder are found; ours stay reachable."""
    (shell.cwd / "stages").mkdir()
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "stages" / "shout.py").write_text(
        "from hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
        "class Shout(Stage[HelloTask, HelloTask]):\n"
        "    def process(self, tasks):\n"
        "        for task in tasks:\n            task.prompt = task.prompt.upper()\n        return tasks\n"
    )
    (shell.cwd / "conf" / "pipeline" / "loud.yaml").write_text(
        "# @package _global_\nname: loud\n"
        "source: {_target_: stages.hello.Prompts, prompts: [psst]}\n"
        "stages:\n  lower: {_target_: stages.hello.LowerCase}\n  shout: {_target_: stages.shout.Shout}\n"
    )
    shell.type("+pipeline=loud", f"store={shell.store}", SMALL)
    (rows,) = shell.store.glob("stages/shout-*/shards/*/*/tasks.jsonl")
    assert json.loads(rows.read_text())["prompt"] == "PSST"


@pytest.mark.parametrize("words", [["--help"], []])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    """Hydra, OmegaConf, submitit and model libraries stay out."""
    code = (
        "import sys; from hpcurate.cli.main import run; run(sys.argv[1:]); "
        "bad = {'hydra', 'omegaconf', 'submitit', 'torch', 'transformers', 'av', 'cv2', 'numpy'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "frames, hello, images, " in done.stdout


@pytest.mark.parametrize("module", ["hpcurate.runs.driver", "hpcurate.worker.supervisor"])
def test_gate_and_supervisor_import_nothing_heavy(module: str) -> None:
    """Nothing a stage needs, and no Hydra."""
    code = (
        f"import sys, {module}; "
        "bad = {'hydra', 'omegaconf', 'submitit', 'torch', 'transformers', 'av', 'cv2', 'numpy'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_odd_input_names_go_all_the_way(shell: Shell, tmp_path: Path) -> None:
    """Spaces, quotes, newline, leading dash, `=`, brackets, bytes that are no text: each a named dead letter."""
    folder = tmp_path / "it's [x] date=2024-01-01, ü"
    folder.mkdir()
    names = [
        b"a b.mp4",
        b"it's.mp4",
        b"new\nline.mp4",
        b"-dash.mp4",
        b"x=1,y.mp4",
        b"[z].mp4",
        b"\xff\xfe.mp4",
        b"u\xc3\xbc.mp4",
    ]
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"no video")
    words = ["+pipeline=video", f"input={folder}", f"store={shell.store}", SMALL, "budget.failed=100"]
    done = shell.type(*words, status=1)
    assert "failed: probe: every task failed (8 of 8), 8 dead letters (hpcurate why)" in done.stdout
    assert "fix what failed, then: hpcurate retry " in done.stdout
    assert "budget.failed" not in done.stdout
    text = shell.type("status", status=1).stdout
    assert "raw" not in text
    assert all(name in text for name in ("a b.mp4", "it's.mp4", "-dash.mp4", "x=1,y.mp4", "[z].mp4", "\\udcff"))
