"""`hpcurate compile`: what is refused before anything is written."""

from __future__ import annotations

import pytest
from shell import Shell


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["launcher=local", "to"], "launcher=local: compile writes jobs for a scheduler; type launcher=slurm"),
        (["launcher=slurm"], "expected one folder to write, there is none; type hpcurate compile +pipeline=NAME"),
        (["a", "b"], "expected one folder to write, there are a, b"),
        (["to", "rerun=show"], "rerun= holds for one call, and a folder can be submitted again; leave it out"),
        (["to", "debug=true"], "debug= holds for one call"),
        (["to", "-m"], "there is no such option"),
        (["to", "limti=3"], "limti: there is no such key"),
    ],
)
def test_refused(shell: Shell, words: list[str], refusal: str) -> None:
    """With what to type; nothing is written."""
    done = shell.type("compile", "+pipeline=words", f"store={shell.store}", *words, status=2)
    assert refusal in done.stderr
    assert [] == list(shell.cwd.iterdir())
    assert not shell.store.exists()
