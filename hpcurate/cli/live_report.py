"""`hpcurate report --serve`: the page of a run, live, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
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
from hpcurate.serving.servers import Listening
from hpcurate.serving.tunnel import Way, full_name, own_name, tunnel_command
from hpcurate.web.events import Topic
from hpcurate.web.server import Address, Server, exposure, is_loopback

LAST_LOOK_S = 10.0
"""A look that has begun may take so long at the end; nothing waits for it longer."""


def serve_report(run: Run, options: Options, host: str, port: int, login: str | None = None) -> None:
    """Serve it until somebody ends it. Raises UserError where it cannot listen there, or look at the run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the server takes it; the folder goes in either case
    server, topic = Server(host, port), Topic(most_events=1)
    with tempfile.TemporaryDirectory(prefix="hpcurate-report-", ignore_cleanup_errors=True) as folder:
        live = LivePage(RunView(run, repeated=True), options, folder, partial(topic.publish, "seen"))
        live.look()
        if warning := exposure(host):
            say(warning)
        show(address_lines(run.name, server.address, os.environ, login))
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


def address_lines(run: str, address: Address, environ: Mapping[str, str], login: str | None = None) -> list[str]:
    """Where the page is, and how to get there from a machine with a browser. Pure but for names of host and user."""
    return [f"{run}, live, until Ctrl-C: {address.url}", *tunnel_lines(address, environ, login)]


def tunnel_lines(address: Address, environ: Mapping[str, str], login: str | None = None) -> list[str]:
    """How a browser elsewhere gets there, for who came by ssh; within a job, through `login` of the site profile.

    Pure but for names of host and user.
    """
    if "SSH_CONNECTION" not in environ or not is_loopback(address.host):
        return []
    node = full_name() if login and "SLURM_JOB_ID" in environ else ""
    way = Way(login=login or full_name(), node=node, user=own_name(), port=address.port)
    listening = Listening(host=address.host, port=address.port, token=address.token)
    return ["open it on your own machine after", f"  {tunnel_command(way, listening)}"]
