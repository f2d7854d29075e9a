"""`stages/video/media` is a library below the stages: it imports none of them, and names none of their config keys."""

from __future__ import annotations

import ast
import re

import pytest
from checkout import ROOT

MEDIA = sorted((ROOT / "stages" / "video" / "media").glob("*.py"))


@pytest.mark.parametrize("name", [path.name for path in MEDIA])
def test_media_imports_no_stage(name: str) -> None:
    """Only other files of the folder; of hpcurate how files inside others are read, which needs nothing else of it."""
    tree = ast.parse((MEDIA[0].parent / name).read_text())
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [module for module in modules if module.partition(".")[0] in ("stages", "hpcurate")]
    others = [module for module in ours if not module.startswith("stages.video.media.")]
    assert set(others) <= {"hpcurate.inside"}


@pytest.mark.parametrize("name", [path.name for path in MEDIA])
def test_media_names_no_config_key(name: str) -> None:
    """An error names the thing; the stage that raises it names its own parameter."""
    tree = ast.parse((MEDIA[0].parent / name).read_text())
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    assert [text for text in texts if re.search(r"\bstages\.(?!video\.)\w+", text)] == []
