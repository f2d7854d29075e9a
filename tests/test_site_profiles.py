"""Site profiles: what is set once for every run on a cluster, checked, written and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shell import LOCAL, Shell

from hpcurate.errors import ConfigError
from hpcurate.site import SiteProfile, profile_of, to_yaml
from hpcurate.site_files import load_site

PROFILE = {"partitions": {"cpu": "c", "gpu": "g", "gate": "s"}, "account": "lab", "qos": "q", "constraint": "ib"}
BAD = [
    ({"acount": "x"}, "acount: there is no such key; did you mean 'account'?"),
    ({"partitions": {"gpus": "x"}}, "partitions.gpus: there is no such key; did you mean 'gpu'?"),
    ({"gres": "gpu"}, "gres=gpu: expected option=value"),
    ({"setup": "module load"}, "Expected `list`, got `str`; type [module load]"),
]


@pytest.mark.parametrize(("values", "refusal"), BAD)
def test_a_bad_profile_is_refused(values: dict[str, Any], refusal: str) -> None:
    """With the key and the nearest right one."""
    with pytest.raises(ConfigError) as refused:
        profile_of(values, "site")
    assert refusal in str(refused.value)


def test_a_profile_is_written_with_its_help_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was; the command line comes first."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    profile = profile_of({**PROFILE, "setup": ["module load x", "ulimit -n 9"], "nodes_may_submit": False}, "x")
    (tmp_path / "hpcurate").mkdir()
    (tmp_path / "hpcurate" / "site.yaml").write_text(to_yaml(profile))
    assert profile == load_site({"use": "auto"})
    assert "me" == load_site({"use": "auto", "account": "me"}).account
    assert SiteProfile() == load_site({})
    (tmp_path / "hpcurate" / "site.yaml").write_text("a: b\n{c: d}\n")
    with pytest.raises(ConfigError, match=r"site\.yaml:3: not YAML"):
        load_site({"use": "auto"})


def test_the_profiles_store_is_used_where_none_is_named(shell: Shell) -> None:
    """By runs and verbs; a project's profile is chosen by name."""
    (shell.folder / "config" / "hpcurate").mkdir(parents=True)
    (shell.folder / "config" / "hpcurate" / "site.yaml").write_text(f"store: {shell.store}\n")
    shell.type("+pipeline=words", LOCAL)
    assert "complete" in shell.type("status").stdout
    (shell.cwd / "conf" / "site").mkdir(parents=True)
    (shell.cwd / "conf" / "site" / "ours.yaml").write_text("account: lab\n")
    assert "account: lab" in shell.type("+pipeline=words", "site=ours", "--cfg").stdout
    assert "did you mean 'ours'" in shell.type("+pipeline=words", "site=our", status=2).stderr
