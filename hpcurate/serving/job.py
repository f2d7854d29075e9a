"""What the job of a server runs: `python -m hpcurate.serving.job FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hpcurate.errors import UserError
from hpcurate.serving.host import host
from hpcurate.serving.servers import Ended, Server
from hpcurate.store.access import keep_private
from hpcurate.system.classes import load_class
from hpcurate.system.clock import SystemClock


def main(argv: Sequence[str]) -> int:
    """The exit status. A server that has ended, or was cancelled before it began, does not begin again."""
    keep_private()
    server = Server(argv[0])
    asked = server.asked_to_end
    if server.ended is not None or asked:
        server.record_end(Ended(why="cancelled", message=f"by {asked}", at=SystemClock().now().timestamp()))
        print(f"{server.name}: has ended before; nothing to do", flush=True)
        return 0
    server.forget_listening()  # of a process that was killed: its token opens nothing any more
    try:
        return host(server, load_class(server.spec.entry, "entry"), say=lambda line: print(line, flush=True))
    except UserError as error:
        server.record_end(Ended(why="failed", message=str(error), at=SystemClock().now().timestamp()))
        print(f"hpcurate: {error}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
