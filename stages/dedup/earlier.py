"""Signatures that earlier runs kept, and which new text is like one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpcurate.errors import StageError
from stages.dedup.kept import earlier_rows
from stages.dedup.signatures import Signing, band_keys, decoded, similarities, sketch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Earlier:
    """All in memory: sketches and band keys, 20 bytes for each row of each band and some 200 for the name."""

    def __init__(self, paths: Sequence[str], how: Signing) -> None:
        """Read the lists. Raises StageError for signatures that were made otherwise."""
        import numpy as np

        self.how = how
        self.names: list[str] = []
        sketches, keys = list[bytes](), list[list[int]]()
        for row in earlier_rows(paths, ("name", "signature", "how")):
            if row["signature"]:
                self._check(row["how"])
                self.names.append(row["name"])
                sketches.append(decoded(sketch(row["signature"])))
                keys.append(_numbers(row["signature"], how))
        self.sketches = np.frombuffer(b"".join(sketches), dtype=np.uint8).reshape(len(sketches), how.permutations)
        table = np.array(keys, dtype=np.uint64).reshape(len(keys), how.bands)
        self.order = np.argsort(table, axis=0, kind="stable").astype(np.int32)
        self.keys = np.take_along_axis(table, self.order.astype(np.intp), axis=0)

    def like(self, signature: str) -> tuple[str, float] | None:
        """(name, estimated similarity) of the one that is most like a text; None if none shares a band with it."""
        import numpy as np

        if not (self.names and signature):
            return None
        candidates = self._candidates(signature)
        if not len(candidates):
            return None
        row = np.frombuffer(decoded(sketch(signature)), dtype=np.uint8)
        alike = similarities(row, self.sketches[candidates])
        found = max(range(len(candidates)), key=lambda n: (alike[n], -candidates[n]))
        return self.names[candidates[found]], round(float(alike[found]), 4)

    def _candidates(self, signature: str) -> NDArray[np.intp]:
        import numpy as np

        found = []
        for band, key in enumerate(_numbers(signature, self.how)):
            column, number = self.keys[:, band], np.uint64(key)
            low, high = np.searchsorted(column, number), np.searchsorted(column, number, side="right")
            found.append(self.order[low:high, band])
        return np.unique(np.concatenate(found)).astype(np.intp)

    def _check(self, made: str) -> None:
        if made != self.how.name:
            raise StageError(
                f"against: signatures of an earlier run were made with {made}; these are made with {self.how.name}: "
                "give the stage the same parameters"
            )


def _numbers(signature: str, how: Signing) -> list[int]:
    return [int(key.rpartition("-")[2], 16) for key in band_keys(signature, how.bands)]
