"""The training of the example: the same weights, however often it began again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpcurate.stage_process.several_nodes import free_port

torch = pytest.importorskip("torch")


def test_it_goes_on_at_its_checkpoint_and_comes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By two calls: the second has steps of the first to do again, which were after its last checkpoint."""
    from stages.programs.train import main, reference

    paths = {name: str(tmp_path / name) for name in ("metrics", "values", "weights")}
    files = [word for name, path in paths.items() for word in (f"--{name}", path)]
    for steps in (8, 12):
        with free_port() as port:
            place = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "RANK": "0", "WORLD_SIZE": "1"}
            for name, value in place.items():
                monkeypatch.setenv(name, value)
            main(["--steps", str(steps), "--seed", "3", "--every", "5", "--checkpoint", str(tmp_path), *files])
    assert "begins at step 5 of 12, 1 processes" in capsys.readouterr().out
    weights, expected = torch.load(paths["weights"]), reference(12, 3, 1)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert json.loads(Path(paths["values"]).read_text())["steps"] == 12
    steps_done = [json.loads(line)["step"] for line in Path(paths["metrics"]).read_text().splitlines()]
    assert [*range(1, 9), *range(6, 13)] == steps_done
