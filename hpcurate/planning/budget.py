"""The error budget of a run."""

from __future__ import annotations

import attrs

from hpcurate.fields import option

__all__ = ["Budget"]


@attrs.define(frozen=True, kw_only=True)
class Budget:
    """How many dead letters a run may have and still be complete."""

    failed: float = option(5, "failed tasks that are always tolerated; inf: any number", minimum=0)
    fraction: float = option(0.01, "share of a stage's tasks that may fail, if that is more", minimum=0)

    def exceeded(self, failed: int, of: int) -> bool:
        """Whether `failed` of `of` tasks are too many: more than max(failed, fraction)."""
        return failed > max(self.failed, self.fraction * of)
