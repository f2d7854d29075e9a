"""Aliases: other code of a stage without a version, that goes on in the folder it had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcurate.planning.aliases import COMMAND, Aliases, alias_name, differs_in_code_alone, has_no_version
from hpcurate.runs.explanation import part_differences

STAGE = {"class": "mine:Caption", "version": "syntax:1", "parameters": {"size": 3}, "code": {"helper.py": "a"}}


def identity(**changes: Any) -> dict[str, Any]:
    """Of a stage; `changes` of its own parts."""
    return {"stage": {**STAGE, **changes}, "upstream": ["f"], "epoch": 0, "models": ["m@1"]}


OLD = identity()
CASES = [
    (identity(version="syntax:2"), True),
    (identity(code={"helper.py": "b", "more.py": "c"}), True),
    ({**identity(version="syntax:2"), "epoch": 1}, True),
    (OLD, False),
    (identity(version="v1"), False),
    (identity(version="syntax:2", parameters={"size": 4}), False),
    ({**identity(version="syntax:2"), "models": ["m@2"]}, False),
    ({**identity(version="syntax:2"), "upstream": ["g"]}, False),
]


@pytest.mark.parametrize(("new", "expected"), CASES)
def test_what_counts_as_code_alone(new: dict[str, Any], expected: bool) -> None:
    """Parameters, weights and what is read are more than that; a version is the user's own word."""
    assert expected is differs_in_code_alone(OLD, new)


def test_a_member_of_a_chain_and_a_stage_in_a_parameter() -> None:
    """Their code is code, too."""
    chains = [{**OLD, "stage": {"chain": [{**STAGE, "version": f"syntax:{n}"}]}} for n in (1, 2)]
    inner = [identity(version="v1", parameters={"inner": {**STAGE, "version": f"syntax:{n}"}}) for n in (1, 2)]
    assert [True, True] == [differs_in_code_alone(*chains), differs_in_code_alone(*inner)]


def test_scripts_of_a_program_are_its_code() -> None:
    """They counted as parameters: a training whose script was repaired could not go on at its checkpoint."""
    files = [{"train.py": {"sha256": "1"}}, {"train.py": {"sha256": "2"}, "more.py": {"sha256": "3"}}]
    programs = [identity(**{"class": COMMAND}, version="v1", parameters={"argv": [], "files": one}) for one in files]
    assert differs_in_code_alone(*programs)
    assert has_no_version(programs[0])
    assert not has_no_version(identity(**{"class": COMMAND}, version="v1", parameters={"argv": []}))
    changed = ["code: train.py differs", "code: more.py is now part of it"]
    assert changed == part_differences(*programs)
    more = identity(**{"class": COMMAND}, version="v1", parameters={"argv": ["a"], "files": files[1]})
    assert not differs_in_code_alone(programs[0], more)


def test_an_alias_is_found_by_what_the_stage_is_now(tmp_path: Path) -> None:
    """And by nothing else; the first that was written stands."""
    new = identity(version="syntax:2")
    Aliases(str(tmp_path)).record(alias_name("caption", new), {"fingerprint": "f" * 64})
    Aliases(str(tmp_path)).record(alias_name("caption", new), {"fingerprint": "0" * 64})
    aliases = Aliases(str(tmp_path))
    assert ["f" * 64, None, None] == [aliases("caption", new), aliases("caption", OLD), aliases("other", new)]
