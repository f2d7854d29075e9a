"""`hpcurate compare`: two runs side by side."""

from __future__ import annotations

import json

import pytest
import yaml
from picky import picky_run
from shell import Shell


@pytest.fixture(scope="module")
def picky(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The run that all verbs are tried on, in a store of its own: more runs are added here."""
    return picky_run(tmp_path_factory.mktemp("compared"))


def test_compare_sets_two_runs_side_by_side(picky: Shell) -> None:
    """Configuration, counts and drop reasons; what they share."""
    first = json.loads(picky.type("runs", "--json").stdout)[0]["run"]
    picky.inline("+pipeline=picky", f"input={picky.folder / 'in'}", "budget.failed=9", "stages.pick.limit=99")
    text = picky.type("compare", first, "latest").stdout
    assert "stages.pick.limit: default → 99" in text
    assert "4 → 0" in text
    plain = json.loads(picky.type("compare", first, first, "--json").stdout)
    assert (plain["config"], plain["shared"]) == ([], ["pick"])


def test_a_run_from_before_differs_in_nothing_that_is_a_default(picky: Shell) -> None:
    """Earlier releases wrote fewer keys into config.yaml, and null for some defaults."""
    words = ["+pipeline=picky", f"input={picky.folder / 'in'}"]
    picky.inline(*words, "stages.pick.limit=97")
    first = json.loads(picky.type("runs", "--json").stdout)[0]["run"]
    config = picky.store / "runs" / first / "config.yaml"
    plain = yaml.safe_load(config.read_text())
    for key in ("timing", "models", "done", "part"):
        plain.pop(key, None)
    config.write_text(yaml.safe_dump({**plain, "rerun": None}))
    picky.inline(*words, "stages.pick.limit=98")
    differences = json.loads(picky.type("compare", first, "latest", "--json").stdout)["config"]
    assert ["stages.pick.limit: 97 → 98"] == differences


def test_a_compiled_run_differs_in_nothing_that_compile_chose(picky: Shell) -> None:
    """Its launcher and site are written down as they were found, the others' as they were asked for: 25 lines of it."""
    first = json.loads(picky.type("runs", "--json").stdout)[0]["run"]
    config = picky.store / "runs" / first / "config.yaml"
    plain = yaml.safe_load(config.read_text())
    found = {"launcher": {"_target_": "launchers.slurm.SlurmLauncher"}, "site": {"cluster": "deep"}, "store": "/s"}
    config.write_text(yaml.safe_dump({**plain, **found}))
    other = json.loads(picky.type("runs", "--json").stdout)[1]["run"]
    text = picky.type("compare", first, other).stdout
    assert "stages.pick.limit" in text
    assert "launcher" not in text
    assert "cluster" not in text
