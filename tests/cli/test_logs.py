"""`hpcurate logs`: of a task, a shard, a worker, a gate; or what failed."""

from __future__ import annotations

import subprocess
import sys

from shell import Shell

TICKING = (
    "import time\nfrom hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
    "class Ticking(Stage[HelloTask, HelloTask]):\n"
    "    def process(self, tasks):\n"
    "        for task in tasks:\n            print(f'tick {task.id}', flush=True)\n            time.sleep(0.4)\n"
    "        return tasks\n"
)


def test_logs_of_a_task(picky: Shell) -> None:
    """By a part of its file's name; an unknown one is refused."""
    assert "attempt 1" in picky.type("logs", "--task", "good.txt").stdout
    assert "no committed shard has such a task" in picky.type("logs", "--task", "nobody", status=2).stderr
    text = picky.type("logs", "--failed", "--task", "a b.txt").stdout
    assert text.count("== Picky") + text.count("== pick") == 1


def test_logs_of_a_shard_a_worker_and_a_stage(picky: Shell) -> None:
    """All of them lead to the one log there is; what is not there is refused with what is."""
    (path,) = {line for line in picky.type("logs").stdout.splitlines() if line.startswith("== ")}
    (shard,) = [p.parent.name for p in picky.store.glob("stages/pick-*/shards/*/[!.]*/failed.jsonl")]
    for words in (["--shard", shard], ["--worker", "0"], ["--stage", "pick"]):
        assert path in picky.type("logs", *words).stdout
    assert "no such log; the run's stages are pick" in picky.type("logs", "--stage", "peck", status=2).stderr
    assert "nobody has claimed such a shard" in picky.type("logs", "--shard", "9-000000", status=2).stderr
    assert "no such log" in picky.type("logs", "--gate", status=2).stderr


def test_the_last_lines_of_each_log(picky: Shell) -> None:
    """Where only the end matters."""
    whole = picky.type("logs").stdout.splitlines()
    assert picky.type("logs", "-n", "2").stdout.splitlines() == [whole[0], *whole[-2:]]


def test_logs_are_followed_until_the_run_ends(shell: Shell) -> None:
    """Of workers that begin meanwhile, too, each line once; it ends with the state."""
    (shell.cwd / "ticking.py").write_text(TICKING)
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "ticks.yaml").write_text(
        "# @package _global_\nname: ticks\nsource: {_target_: stages.hello.Prompts, prompts: [a, b, c]}\n"
        "stages:\n  ticking: {file: ticking.py}\n"
    )
    words = ["+pipeline=ticks", "launcher=local", f"store={shell.store}"]
    run = subprocess.Popen(
        [sys.executable, "-m", "hpcurate", *words], cwd=shell.cwd, env=shell.environment, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert run.stderr is not None
    assert any("round 1" in line for line in run.stderr)
    followed = shell.type("logs", "-f")
    assert 0 == run.wait(60)
    run.stderr.close()
    ticks = [line for line in followed.stdout.splitlines() if line.startswith("tick")]
    assert len(ticks) == len(set(ticks)) == 3
    assert followed.stderr.rstrip().endswith("  complete")


def test_dead_letters_are_not_followed(picky: Shell) -> None:
    """They are refused, not ignored."""
    assert "leave out one of the two" in picky.type("logs", "-f", "--failed", status=2).stderr
