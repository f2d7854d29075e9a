"""`hpcurate logs`: of a task, a shard, a worker, a gate; or what failed."""

from __future__ import annotations

from shell import Shell


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
