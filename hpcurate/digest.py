"""The digest of plain values. Pure."""

from __future__ import annotations

import json
from typing import Any


def digest(plain: Any) -> str:
    """SHA-256 of the canonical JSON of plain values."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()
