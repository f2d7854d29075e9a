"""What every launcher is: a class that a configuration names, with all that the engine asks of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcurate.errors import ConfigError
from hpcurate.runs.launcher import LAUNCHERS, make_launcher


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_is_made_from_its_name_and_nulls_are_defaults(name: str) -> None:
    """As a user's YAML may have them."""
    nulls = {"slurm": {"sbatch": None, "setup": None}, "local": {"workers": None}}.get(name, {})
    assert name == make_launcher({"_target_": LAUNCHERS[name], **nulls}).name


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"_target_": "Foo"}, "launcher._target_=Foo: "),
        ({"_target_": "launchers.local.Nobody"}, "has no attribute 'Nobody'"),
        (
            {"_target_": LAUNCHERS["local"], "worker": 1},
            "launcher.worker: there is no such key; did you mean 'workers'",
        ),
        ({"_target_": LAUNCHERS["local"], "workers": 0}, "launcher.workers=0: must be at least 1"),
    ],
)
def test_what_is_no_launcher_is_refused(config: dict[str, object], said: str) -> None:
    """With the key."""
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        make_launcher(config)


def test_a_launcher_of_an_earlier_release_is_refused_with_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written, not when it is first asked."""
    (tmp_path / "old_launcher.py").write_text(
        "import attrs\n\n@attrs.define\nclass Old:\n    kind = 'old'\n\n    def submit(self, submission): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="lacks check, checks, children"):
        make_launcher({"_target_": "old_launcher.Old"})
