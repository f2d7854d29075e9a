"""Which store a verb looks at: as `--help` says, and never silently another than that of the run just typed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from shell import Shell

SLEEPY = (
    "import time\nfrom hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
    "class Sleepy(Stage[HelloTask, HelloTask]):\n"
    "    def process(self, tasks):\n        time.sleep(600)\n        return tasks\n"
)


def test_the_store_of_an_interrupted_run_is_remembered(shell: Shell) -> None:
    """It was remembered at the end of the call: after Ctrl-C, `status` looked at the store before it."""
    shell.type("+pipeline=words", "launcher=inline", f"store={shell.folder / 'before'}")
    (shell.cwd / "sleepy.py").write_text(SLEEPY)
    words = ["+pipeline=words", "stages.sleepy.file=sleepy.py", "launcher=inline", f"store={shell.store}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hpcurate", *words], cwd=shell.cwd, env=shell.environment, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    name = next(line.split()[1] for line in process.stderr if line.startswith("run "))
    process.send_signal(signal.SIGINT)
    assert 130 == process.wait(60)
    assert name == json.loads(shell.type("status", "--json", status=1).stdout)["run"]


def test_a_verb_says_that_the_last_run_is_in_another_store(shell: Shell) -> None:
    """With HPCURATE_STORE or a site profile it looked there, without a word."""
    shell.extra["HPCURATE_STORE"] = str(shell.folder / "usual")
    shell.type("+pipeline=words", "launcher=inline")
    assert "the last run" not in shell.type("status").stderr
    shell.type("+pipeline=words", "launcher=inline", f"store={shell.store}")
    assert f"the last run is in --store {shell.store}" in shell.type("status").stderr
    assert "the last run" not in shell.type("status", "--store", str(shell.store)).stderr


def test_cancel_does_not_guess_between_two_stores(shell: Shell) -> None:
    """It cancelled the latest run of a store that was not the one just typed."""
    shell.extra["HPCURATE_STORE"] = str(shell.folder / "usual")
    shell.type("+pipeline=words", "launcher=inline")
    name = json.loads(shell.type("status", "--json").stdout)["run"]
    shell.type("+pipeline=words", "launcher=inline", f"store={shell.store}")
    told = shell.type("cancel", status=2).stderr
    assert f"the last run is in --store {shell.store}; name the run or its store" in told
    shell.type("cancel", name)
    shell.type("cancel", "--store", str(shell.store))


def test_help_names_the_order(shell: Shell) -> None:
    """In general, and of each verb."""
    for words in (["--help"], ["status", "--help"]):
        told = " ".join(shell.type(*words).stdout.split())
        places = [told.rindex(word) for word in ("HPCURATE_STORE", "site profile", "the last run")]
        assert places == sorted(places)


def test_an_empty_folder_that_had_the_last_store_is_not_taken_for_a_new_one(shell: Shell) -> None:
    """The same command, typed while the store was not mounted, began everything again, on another disk."""
    words = ["+pipeline=words", "launcher=inline", f"store={shell.store}"]
    shell.type(*words)
    shell.store.rename(shell.folder / "away")
    shell.store.mkdir()
    told = shell.type(*words, status=2).stderr
    assert f"{shell.store} is an empty folder now: is it mounted? If you removed the store, type `rm " in told
    assert [] == list(shell.store.iterdir())
    shell.store.rmdir()
    shell.type(*words)


def test_an_empty_folder_above_the_last_store_is_where_it_was_mounted(shell: Shell) -> None:
    """`/scratch` is what is mounted, not `/scratch/me/curate`: there a new store was made, on the disk below."""
    store = shell.folder / "scratch" / "me" / "curate"
    words = ["+pipeline=words", "launcher=inline", f"store={store}"]
    shell.type(*words)
    (shell.folder / "scratch" / "me").rename(shell.folder / "unmounted")
    told = shell.type(*words, status=2).stderr
    assert f"{shell.folder}/scratch is an empty folder now: is it mounted?" in told
    assert [] == list((shell.folder / "scratch").iterdir())
    Path(re.findall(r"type `rm (.*)` first", told)[0]).unlink()
    shell.type(*words)
