"""`hpcurate usage`: hours by stage, over the runs of a store, and the events of one as lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engine_stages import Digits, Double, Number

import hpcurate
from hpcurate.cli.main import run
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.outcome import Outcome

SMALL = StageOptions(shard_tasks=3, batch_size=3, resources={"cpus": 2, "memory": "100MB"})
NUMBERS = [Number(id=f"n{i}", value=i) for i in range(1, 8)]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Two runs of one store, the second of which finds the first stage done."""
    store = tmp_path_factory.mktemp("usage") / "store"
    both = [{"double": Step(Double(), SMALL)}, {"double": Step(Double(), SMALL), "digits": Step(Digits(), SMALL)}]
    return [hpcurate.run(stages, NUMBERS, store=store, launcher="inline") for stages in both]


def plain(outcomes: list[Outcome], capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    """What `--json` prints."""
    assert 0 == run(["usage", *words, "--json", "--store", outcomes[0].run.store.root])
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_hours_are_those_of_the_run_that_paid_for_them(
    outcomes: list[Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage that was done already cost nothing again; over all runs of the store each worker counts once."""
    first, second = outcomes[0].run.name, outcomes[1].run.name
    assert [(first, "double")] == [(one["run"], one["stage"]) for one in plain(outcomes, capsys, first)]
    assert [(second, "digits")] == [(one["run"], one["stage"]) for one in plain(outcomes, capsys, second)]
    since = plain(outcomes, capsys, "--since", "1d")
    assert plain(outcomes, capsys, first) + plain(outcomes, capsys, second) == since
    assert [] == plain(outcomes, capsys, "--since", "2100-01-01")


def test_the_table_and_what_it_says_of_nothing(outcomes: list[Outcome], capsys: pytest.CaptureFixture[str]) -> None:
    """Where no worker was needed, why there are no hours."""
    store = ["--store", outcomes[0].run.store.root]
    assert 0 == run(["usage", *store])
    assert ["CPU hours", "digits"] == [line[:9].strip() for line in capsys.readouterr().out.splitlines()]
    assert 0 == run(["usage", *store, "--since", "0d"])
    assert "no worker has written down its hours" in capsys.readouterr().out


def test_prices_of_the_site_profile(
    outcomes: list[Outcome], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cost, and for a thousand tasks of each stage."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "hpcurate").mkdir()
    (tmp_path / "hpcurate" / "site.yaml").write_text("price_cpu_hour: 1000\n")
    (one,) = plain(outcomes, capsys)
    hours = one["cpu"]
    assert isinstance(hours, dict)
    assert one["cost"] == pytest.approx(1000 * hours["given"])
    run(["usage", "--store", outcomes[0].run.store.root])
    assert "cost: " in capsys.readouterr().out


def test_events_are_lines_of_json(outcomes: list[Outcome], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """To a file, whole or not at all, or to stdout."""
    path, store = tmp_path / "events.jsonl", ["--store", outcomes[0].run.store.root]
    assert 0 == run(["usage", "--events", str(path), *store])
    assert f"6 attempts in {path}" in capsys.readouterr().err
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [("double", 1, "committed")] * 3 == [(row["stage"], row["attempt"], row["ending"]) for row in rows[:3]]
    assert ["events.jsonl"] == [found.name for found in tmp_path.iterdir()]
    assert 0o600 == path.stat().st_mode & 0o777
    assert 0 == run(["usage", "--events", "-", *store])
    assert rows == [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    "words", [["--since", "tomorrow"], ["--since", "7d", "latest"], ["--since", "7d", "--events", "-"]]
)
def test_what_usage_refuses(outcomes: list[Outcome], capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """With what was expected."""
    assert 2 == run(["usage", *words, "--store", outcomes[0].run.store.root])
    assert "hpcurate: --since" in capsys.readouterr().err
