"""Golden files: generated text as users get it. `HPCURATE_ACCEPT=1` accepts what is generated now."""

from __future__ import annotations

import os

from checkout import ROOT


def assert_golden(name: str, text: str) -> None:
    """The text is that of `tests/golden/NAME`."""
    path = ROOT / "tests" / "golden" / name
    if os.environ.get("HPCURATE_ACCEPT"):
        path.write_text(text)
    assert path.read_text() == text
