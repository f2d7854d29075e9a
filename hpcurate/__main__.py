"""`python -m hpcurate …`, and the console script `hpcurate`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the exit status."""
    from hpcurate.cli.main import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
