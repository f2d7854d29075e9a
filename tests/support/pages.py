"""A page of the docs as somebody works through it: its files are written and its `$` lines typed, in order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

_BLOCK = re.compile(r"(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def as_script(page: Path) -> str:
    """A shell script that does what the page says; it prints each line before it types it, and ends at the first that
    fails.
    """
    return "\n".join(["set -e", *_lines(page.read_text())])


def _lines(text: str) -> Iterator[str]:
    for name, kind, block in _BLOCK.findall(text):
        if name:
            yield f"mkdir -p {shlex.quote(str(Path(name).parent))}"
            yield f"printf %s {shlex.quote(block)} > {shlex.quote(name)}"
        elif kind == "console":
            for line in (line[2:] for line in block.splitlines() if line.startswith("$ ")):
                yield f"echo {shlex.quote(f'$ {line}')}"
                yield line
