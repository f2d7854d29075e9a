"""`hpcurate completion bash|zsh|fish`: what the shell needs to complete command lines with the Tab key."""

from __future__ import annotations

import argparse

from hpcurate.cli.arguments import VerbParser
from hpcurate.cli.completion.scripts import SCRIPTS


def parser() -> argparse.ArgumentParser:
    """See `hpcurate completion --help`."""
    made = VerbParser("completion", "print what a shell needs to complete verbs, options, runs, stages and keys")
    made.add_argument("shell", choices=tuple(SCRIPTS), help="which shell; its first line names the file for it")
    return made


def verb(argv: list[str]) -> int:
    """Print it."""
    print(SCRIPTS[parser().parse_args(argv[1:]).shell], end="")
    return 0
