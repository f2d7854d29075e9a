"""How many jobs a user may have queued."""

from __future__ import annotations

import pytest

from hpcurate.errors import LauncherError
from launchers.slurm.limits import is_limit, read_submit_limit

LIMITS = [
    ("", "", None, None, None),
    ("|lab|6||\n", "", None, None, 6),
    ("lab|lab|6||\nlab|old|5||\n", "", None, None, 6),
    ("|lab|6|normal|\n|old|9||\n", "normal|4\nhigh|2\n", None, None, 4),
    ("lab|lab|6|normal|\n", "normal|4\nhigh|2\n", None, "high", 2),
    ("lab|lab|6||\nlab|old|9||\n", "", "old", None, 9),
    ("lab|lab|||normal,high\n", "normal|\n", None, None, None),
    ("lab|lab|||high,normal\n", "normal|4\nhigh|2\n", None, None, None),
    ("lab|lab|||high\n", "normal|4\nhigh|2\n", None, None, 2),
]


@pytest.mark.parametrize(("associations", "qualities", "account", "qos", "limit"), LIMITS)
def test_the_submit_limit_is_the_smallest_that_applies(
    associations: str, qualities: str, account: str | None, qos: str | None, limit: int | None
) -> None:
    """Of the account used, and of the quality of service used."""
    assert limit == read_submit_limit(associations, qualities, account, qos)


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("sbatch: error: AssocMaxSubmitJobLimit", True),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", True),
        ("sbatch: error: AssocGrpSubmitJobsLimit", True),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", True),
        ("Resource temporarily unavailable", True),
        ("Invalid feature specification", False),
    ],
)
def test_a_refusal_that_waiting_ends(message: str, limit: bool) -> None:
    """As against one that stays."""
    assert limit is is_limit(LauncherError(message))
