"""Fixtures of a project whose stage runs in a conda environment."""

from conda_project import channel, there

__all__ = ["channel", "there"]
