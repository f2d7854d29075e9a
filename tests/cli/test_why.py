"""`hpcurate why`: causes with an example each, and where the log is."""

from __future__ import annotations

import json
from pathlib import Path

from shell import Shell


def test_why_groups_what_failed_and_says_where_the_log_is(picky: Shell) -> None:
    """One reason for four files, with an example and a line of the log; and what was dropped."""
    text = picky.type("why").stdout
    assert "4 dead letters, by reason:" in text
    assert "     4  pick: ValueError: FILE has N bytes" in text
    assert "e.g. " in text
    (log,) = [line.split("log: ")[1] for line in text.splitlines() if "log: " in line]
    path, _, number = log.rpartition(":")
    assert "attempt 1" in Path(path).read_text().splitlines()[int(number) - 1]
    assert "     1  pick: too small (1 B)\n          e.g. tiny.txt: size 1, threshold 2\n" in text
    plain = json.loads(picky.type("why", "--json").stdout)
    assert [group["count"] for group in plain["failed"]] == [4]
    assert plain["dropped"] == {"pick": {"too small": 1}}
    ((example,),) = [loss["examples"] for loss in plain["lost"]]
    assert ("tiny.txt", 1.0, 2.0, "size") == tuple(example[key] for key in ("name", "value", "threshold", "measure"))


def test_why_of_a_good_run(shell: Shell) -> None:
    """Says so."""
    shell.inline("+pipeline=words")
    assert "nothing failed and nothing was dropped" in shell.type("why").stdout


def test_why_of_a_stage_that_cannot_start(shell: Shell) -> None:
    """The reason of the setup, and what to type next."""
    (shell.cwd / "bad.py").write_text(
        "from hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
        "class Bad(Stage[HelloTask, HelloTask]):\n"
        "    def setup(self, worker):\n        raise RuntimeError('no licence')\n\n"
        "    def process(self, tasks):\n        return tasks\n"
    )
    ended = shell.run("+pipeline=words", "stages.bad.file=bad.py", status=1).stdout
    text = shell.type("why").stdout
    for said in (ended, text, shell.type("logs", "--failed").stdout):
        assert "bad: cannot be started" in said
        assert f'    File "{shell.cwd}/bad.py", line 7, in setup\n      raise RuntimeError(' in said
    assert "stalled" in text
    assert "no licence" in text
    assert "next: fix that, then: hpcurate +pipeline=words stages.bad.file=bad.py" in text
