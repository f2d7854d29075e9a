"""`python -m hpcurate …`, and the console script `hpcurate`."""

from __future__ import annotations

import gc
import sys

MANY = 1_000_000
"""Objects more than before. By default the interpreter looks for garbage after 700, and again at its end: of a run with
ten thousand shards that takes longer than all else, and nothing of it is garbage.
"""


def main() -> int:
    """Run the command line; the exit status."""
    from hpcurate.cli.main import only_looks, run

    if only_looks(sys.argv[1:]):
        gc.set_threshold(MANY)
    status = run(sys.argv[1:])
    gc.freeze()
    return status


if __name__ == "__main__":
    sys.exit(main())
