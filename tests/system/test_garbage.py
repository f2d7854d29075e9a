"""The search for garbage: put off while a process starts, as usual where it works, and none at its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from shell import Shell

from hpcurate.start import MANY_OBJECTS, module_command
from hpcurate.system import garbage

SEEN = (
    "import gc\nimport os\nfrom hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
    "class Seen(Stage[HelloTask, HelloTask]):\n"
    "    version = 1\n\n    def process(self, tasks):\n"
    "        if 'FAIL' in os.environ:\n            raise ValueError('as told')\n"
    "        for task in tasks:\n            task.prompt = f'{gc.get_threshold()} {gc.get_freeze_count() > 1000}'\n"
    "        return tasks\n"
)


@pytest.mark.parametrize("launcher", ["inline", "local"])
def test_where_stages_work_it_is_as_usual(shell: Shell, launcher: str) -> None:
    """In the command itself, and in a stage process; what was imported is left out of it."""
    (shell.cwd / "seen.py").write_text(SEEN)
    words = ["+pipeline=words", "stages.mine.file=seen.py", "~stages.show", f"launcher={launcher}", "limit=1"]
    done = shell.typed_afresh(*words, f"store={shell.store}")
    assert done.returncode == 0, done.stderr
    assert '"prompt":"(700, 10, 10) True"' in shell.rows("mine")[0]


def test_also_where_a_retry_works(shell: Shell) -> None:
    """In the command itself."""
    (shell.cwd / "seen.py").write_text(SEEN)
    words = ["+pipeline=words", "stages.mine.file=seen.py", "~stages.show", "launcher=inline", "limit=1"]
    shell.typed_afresh(*words, "budget.failed=inf", f"store={shell.store}", FAIL="1")
    done = shell.typed_afresh("retry", "--store", str(shell.store))
    assert done.returncode == 0, done.stderr
    assert '"prompt":"(700, 10, 10) True"' in shell.rows("mine")[0]


def test_start_up_and_end_are_without_it(tmp_path: Path) -> None:
    """In a job, whose `start.py` imports nothing of ours."""
    (tmp_path / "code" / "hpcurate").mkdir(parents=True)
    script = Path(sys.modules["hpcurate.start"].__file__ or "").read_text()
    (tmp_path / "code" / "hpcurate" / "start.py").write_text(script)
    (tmp_path / "code" / "work.py").write_text(
        "import atexit, gc\nprint(gc.get_threshold()[0])\natexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"
    )
    done = subprocess.run(
        module_command(sys.executable, str(tmp_path / "code"), "work"), capture_output=True, text=True, check=True
    )
    assert f"{garbage.MANY}\nTrue\n" == done.stdout
    assert garbage.MANY == MANY_OBJECTS


def test_who_did_not_put_it_off_keeps_what_is_set() -> None:
    """A user's own program that calls us."""
    program = (
        "import gc\nfrom hpcurate.system import garbage\ngc.set_threshold(123)\ngarbage.as_usual()\n"
        "print(gc.get_threshold()[0], gc.get_freeze_count())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "123 0\n" == done.stdout
