"""Savers: how values of a kind (arrays, tables, checkpoints, figures …) become files, and values again. Python 3.9.

`Stage.save` and `Stage.load` use them. What is imported from here is for savers of your own, and for scripts.
"""

from __future__ import annotations

from hpcurate.savers.base import Checkpoint, Saver
from hpcurate.savers.reading import load

__all__ = ["Checkpoint", "Saver", "load"]
