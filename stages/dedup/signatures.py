"""MinHash signatures of texts, their bands, and how alike two texts are by them. Pure.

Sources: Broder 1997 (MinHash of shingles); Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3
(bands); Li and König 2010, arXiv:0910.3349 (b-bit minwise hashing). The signatures are rensa's R-MinHash, after
Dahlgaard et al. 2017, arXiv:1704.04370.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import attrs

from hpcurate.errors import ConfigError, StageError
from stages.dedup.digests import folded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Unit = Literal["words", "characters"]
ALGORITHM = 2
"""Version of R-MinHash in rensa: signatures of two versions cannot be compared."""
_CHANCE = 1 / 256
"""That two bytes are equal, of texts that have nothing in common."""


@attrs.define(frozen=True)
class Signing:
    """What signatures are made with."""

    unit: Unit = "words"
    n: int = 5
    bands: int = 14
    rows: int = 8
    seed: int = 1

    def __attrs_post_init__(self) -> None:
        for name in ("n", "bands", "rows"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)}: expected at least 1")

    @property
    def permutations(self) -> int:
        """Numbers of a signature."""
        return self.bands * self.rows

    @property
    def name(self) -> str:
        """The same where signatures can be compared."""
        return f"R-MinHash {ALGORITHM}, {self.n} {self.unit}, {self.bands} x {self.rows}, seed {self.seed}"


def shingles(text: str, unit: Unit, n: int) -> list[str]:
    """Its different runs of n words or characters, sorted; a text of fewer is one. Case and punctuation do not count.

    Empty for a text without letters and digits.
    """
    plain = folded(text, "words")
    if unit == "characters":
        found = {plain[start : start + n] for start in range(max(len(plain) - n, 0) + 1)}
    else:
        words = plain.split(" ")
        found = {" ".join(words[start : start + n]) for start in range(max(len(words) - n, 0) + 1)}
    return sorted(found - {""})


def signatures(texts: Sequence[str], how: Signing) -> list[str]:
    """In base64, `how.permutations` numbers of 32 bits each; empty for a text without shingles."""
    import numpy as np
    from rensa import RMinHash

    if RMinHash.ALGORITHM_VERSION != ALGORITHM:
        raise StageError(
            f"rensa has version {RMinHash.ALGORITHM_VERSION} of R-MinHash, and signatures are made with version "
            f"{ALGORITHM}; type `pip install rensa==0.5.0`"
        )
    sets = [shingles(text, how.unit, how.n) for text in texts]
    rows = np.array(RMinHash.digests_from_token_sets(sets, how.permutations, how.seed), dtype="<u4")
    return [encoded(row.tobytes()) if own else "" for own, row in zip(sets, rows)]


def band_keys(signature: str, bands: int) -> list[str]:
    """A key for each band: two texts that agree in all rows of one have the same."""
    data = decoded(signature)
    size = len(data) // bands
    pieces = [data[band * size : (band + 1) * size] for band in range(bands)]
    return [f"{band}-{hashlib.blake2b(piece, digest_size=8).hexdigest()}" for band, piece in enumerate(pieces)]


def sketch(signature: str) -> str:
    """The lowest byte of each number, in base64: a quarter of its size, and almost as good (Li and König 2010)."""
    return encoded(decoded(signature)[::4])


def sketch_rows(sketches: Sequence[str]) -> NDArray[np.uint8]:
    """A matrix of bytes, one row each."""
    import numpy as np

    return np.stack([np.frombuffer(decoded(one), dtype=np.uint8) for one in sketches])


def similarities(row: NDArray[np.uint8], rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of the shingles of one text with each of others, 0 … 1, from their sketches.

    Equal bytes count without those that chance makes equal. The standard deviation is √(J (1 - J) / permutations) and
    a little more.
    """
    import numpy as np

    equal: NDArray[np.float64] = (rows == row).mean(axis=1)
    return np.clip((equal - _CHANCE) / (1 - _CHANCE), 0.0, 1.0)


def encoded(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


def decoded(text: str) -> bytes:
    """Its bytes."""
    return base64.b64decode(text)
