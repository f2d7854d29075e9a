"""Names of jobs: nobody else's jobs have them. Pure."""

from __future__ import annotations

import re

from hpcurate.planning.plan import job_name


def test_a_name_is_of_one_round_of_one_run_on_one_store() -> None:
    """Before, the same pipeline on two stores had jobs of the same names: one adopted and cancelled the other's."""
    names = {job_name(s, n, r, p) for s in ("a-1", "b-1") for n in (1, 2) for r in ("x", "y") for p in ("/s", "/t")}
    assert 16 == len(names)
    assert job_name("a-1", 1, "x", "/s") == job_name("a-1", 1, "x", "/s")


def test_slurm_takes_it_whole() -> None:
    """Nothing that a client splits, expands or cuts, whatever run and store are called."""
    name = job_name("gate-" + "a" * 41, 9999, "a%j,b c\n", "/s \udcff%A,\n")
    assert re.fullmatch(r"[a-z0-9_-]{1,100}", name)
