"""The commands that are printed: complete, and as a shell gives them back."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from hpcurate.runs.commands import Command, again, from_here, quoted, spelled_out, verb
from hpcurate.runs.next_steps import next_steps
from hpcurate.runs.state import RunState

WORDS = ("+pipeline=words", "input=in.jsonl", "stages.a.max_memory=1GB", "rerun=a", "store=../elsewhere")
TYPED = Command(words=WORDS, config_dirs=("more conf",), folder="/home/me/my clips")
AGAIN = (
    "cd '/home/me/my clips' && hpcurate +pipeline=words input=in.jsonl stages.a.max_memory=1GB store=/s "
    "--config-dir 'more conf'"
)


def test_the_command_is_whole() -> None:
    """It enters the folder where it was typed, names the store, and does no finished work again."""
    assert AGAIN == again(TYPED, "/s")


def test_an_override_takes_the_place_of_one_with_its_key() -> None:
    """Else it is added."""
    line = again(TYPED, "/s", "stages.a.max_memory=2GB", "rerun=b")
    assert AGAIN.replace("1GB", "2GB").replace(" --config", " rerun=b --config") == line


def test_who_is_in_its_folder_does_not_enter_it() -> None:
    """Whoever typed the command is."""
    assert AGAIN.partition(" && ")[2] == from_here(AGAIN, "/home/me/my clips")
    assert AGAIN == from_here(AGAIN, "/home/me")


def test_what_python_started_python_continues() -> None:
    """There is no command line; the program is named, or the folder of a notebook."""
    called = Command(folder="/n", script="/n/run.py")
    assert "call hpcurate.run(…) again in /n/run.py, with budget.failed=3" == again(called, "/s", "budget.failed=3")
    assert "call hpcurate.run(…) again in /n" == again(Command(folder="/n"), "/s")


def test_a_run_of_an_earlier_hpcurate_has_its_words() -> None:
    """Not the folder."""
    assert "hpcurate +pipeline=words store=/s" == again(Command(words=("+pipeline=words",)), "/s")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x; type the run's command again", "x; type `hpcurate limit=1 store=/s`"),
        ("type the run's command with rerun=a", "type `hpcurate limit=1 store=/s rerun=a`"),
        ("the run's command does it", "`hpcurate limit=1 store=/s` does it"),
    ],
)
def test_a_message_names_the_command_itself(text: str, said: str) -> None:
    """Whoever wrote it does not know the run."""
    assert said == spelled_out(text, Command(words=("limit=1",)), "/s")


def test_a_verb_names_run_and_store() -> None:
    """Typed in another folder, with another store in use, it means the same run."""
    assert "hpcurate retry r --stage a --store '/my store'" == verb("retry", "r", "/my store", "--stage", "a")


ODD = [
    "a b",
    "it's",
    "$HOME `id` !x \\",
    "tab\tnew\nline",
    "\udcff\udcfe.mp4",
    "ü/日",
    "<script>",
    "'\\\x1b[2J",
    "~a",
    "",
]


def test_a_shell_gives_every_word_back() -> None:
    """Names may be any bytes; what no terminal can show is written as bash and zsh write bytes."""
    script = "printf '%s\\0' " + " ".join(map(quoted, ODD))
    assert script.isprintable()
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert [word.encode("utf-8", "surrogateescape") for word in ODD] == done.stdout.split(b"\0")[:-1]


# -- what to type next ------------------------------------------------------------------------------

PLAIN = Command(words=("+pipeline=p",))
WHY = "hpcurate why r --store /s"
RETRY = "fix what failed, then: hpcurate retry r --store /s"
KEEPING = "or, if you edited code: hpcurate retry r --keep-done --store /s"
LINE = "hpcurate +pipeline=p store=/s"
GO = "see what can go: hpcurate clean --store /s"


@pytest.mark.parametrize(
    ("state", "more", "steps"),
    [
        ("running", {"failed": 2}, ["hpcurate watch r --store /s"]),
        ("complete", {}, [""]),
        ("complete", {"failed": 2}, [RETRY]),
        ("complete", {"failed": 2, "unversioned": True}, [RETRY, KEEPING]),
        ("failed", {"failed": 37}, [WHY, RETRY, f"or accept 37 failed: {LINE} budget.failed=37"]),
        ("failed", {"failed": 9, "hopeless": True}, [WHY, RETRY]),
        ("incomplete", {}, [LINE]),
        ("cancelled", {}, [f"to continue: {LINE}"]),
        ("stalled", {}, [WHY, f"fix that, then: {LINE}"]),
        ("stalled", {"overrides": ["a=1", "rerun=b"]}, [WHY, f"fix that, then: {LINE} a=1 rerun=b"]),
        ("stalled", {"reason": "0.0 of 9.0 GB free; make room, then …"}, [GO, f"fix that, then: {LINE}"]),
    ],
)
def test_every_state_has_its_commands(state: str, more: dict[str, Any], steps: list[str]) -> None:
    """A line each, complete, with the override that helps and its value."""
    assert "\n".join(steps) == next_steps("r", "/s", PLAIN, RunState(state), **more)


def test_a_run_that_python_started_is_retried_by_python() -> None:
    """The command line refuses it: it does not have the stages."""
    said = next_steps("r", "/s", Command(folder="/n"), RunState.COMPLETE, failed=1)
    assert "fix what failed, then: call hpcurate.run(…) again in /n, with retry=hpcurate.Retry(run='r')" == said
