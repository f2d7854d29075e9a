"""What the README has the reader copy."""

from __future__ import annotations

import re

from checkout import ROOT


def readme_stage() -> tuple[str, str]:
    """(the code of `stages/caption.py`, the command after it)."""
    text = (ROOT / "README.md").read_text()
    found = re.search(
        r"`stages/caption.py`[^\n]*:\n\n```python\n(.*?)^```\n\n```\n(hpcurate [^\n]*)\n```", text, re.M | re.S
    )
    assert found, "README.md has no stages/caption.py"
    return found[1], found[2]
