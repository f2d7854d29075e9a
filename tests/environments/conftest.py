"""The fixtures of a conda channel and of a project that uses it."""

from conda_project import channel, there  # noqa: F401
