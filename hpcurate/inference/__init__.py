"""Bases of stages that run a network over batches: write what loads, what infers and what is made of the results.

Runs in every stage environment: Python 3.9 or newer; numpy and torch are used only where the values are theirs.
"""

from __future__ import annotations

from hpcurate.inference.batches import BatchInference
from hpcurate.inference.loader import LoaderInference, LoaderOptions

__all__ = ["BatchInference", "LoaderInference", "LoaderOptions"]
