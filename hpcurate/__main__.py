"""`python -m hpcurate …`, and the console script `hpcurate`."""

from __future__ import annotations

import sys

from hpcurate.system import garbage


def main() -> int:
    """Run the command line; the exit status."""
    garbage.put_off()
    from hpcurate.cli.main import run

    status = run(sys.argv[1:])
    garbage.left_to_the_end()
    return status


if __name__ == "__main__":
    sys.exit(main())
