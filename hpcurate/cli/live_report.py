"""`hpcurate report --serve`: the page of a run, live, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import partial

from hpcurate.cli.terminal import say, show
from hpcurate.report.live import LivePage
from hpcurate.report.page.model import Options
from hpcurate.report.run_view import RunView
from hpcurate.runs.folder import Run
from hpcurate.web.events import Topic
from hpcurate.web.server import Address, Server, exposure, is_loopback

LAST_LOOK_S = 10.0
"""A look that has begun may take so long at the end; nothing waits for it longer."""


def serve_report(run: Run, options: Options, host: str, port: int) -> None:
    """Serve it until somebody ends it. Raises UserError where it cannot listen there, or look at the run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the server takes it; the folder goes in either case
    server, topic = Server(host, port), Topic(most_events=1)
    with tempfile.TemporaryDirectory(prefix="hpcurate-report-", ignore_cleanup_errors=True) as folder:
        live = LivePage(RunView(run, repeated=True), options, folder, partial(topic.publish, "seen"))
        live.look()
        if warning := exposure(host):
            say(warning)
        show(address_lines(run.name, server.address, os.environ))
        _serve(server, live, topic)
    show([f"{run.name} is not stopped by this."])


def _serve(server: Server, live: LivePage, topic: Topic) -> None:
    from hpcurate.report.live_app import live_app

    looking = threading.Thread(target=live.keep_looking, name="looking", daemon=True)
    looking.start()
    try:
        server.run(live_app(live, topic))
    finally:
        live.end()
        looking.join(LAST_LOOK_S)


def address_lines(run: str, address: Address, environ: Mapping[str, str]) -> list[str]:
    """Where the page is, and how to get there from a machine that has a browser. Pure but for the host's name."""
    return [f"{run}, live, until Ctrl-C: {address.url}", *tunnel_lines(address, environ)]


def tunnel_lines(address: Address, environ: Mapping[str, str]) -> list[str]:
    """How a browser elsewhere gets there, for who came by ssh. Pure but for the host's name."""
    if "SSH_CONNECTION" not in environ or not is_loopback(address.host):
        return []
    tunnel = f"ssh -N -L {address.port}:127.0.0.1:{address.port} {socket.gethostname()}"
    return ["open it on your own machine after", f"  {tunnel}"]
