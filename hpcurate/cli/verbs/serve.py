"""`hpcurate serve +pipeline=X [STAGE] …`: stages behind a page and an HTTP endpoint, here or on a compute node."""

from __future__ import annotations

import argparse
import os
import time

import msgspec

from hpcurate.cli.servers import await_server, list_servers
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.start.request import choose_launcher, request_of, without_input
from hpcurate.cli.start.serve_options import ServeOptions, of_class, split_words
from hpcurate.cli.start.served_app import ENTRY, make
from hpcurate.cli.start.served_stages import ServedStages
from hpcurate.cli.start.serving import freeze, frozen
from hpcurate.cli.start.settings import Settings
from hpcurate.cli.terminal import say, show, table
from hpcurate.cli.text import styled
from hpcurate.cli.verbs.common import store_parser, the_store
from hpcurate.runs.code import merge_packages
from hpcurate.runs.folder import open_store
from hpcurate.runs.launcher import Launcher, ServerNeeds, make_launcher
from hpcurate.runs.prepare import Request, check_secrets
from hpcurate.serving.host import host
from hpcurate.serving.on_node import needs_of
from hpcurate.serving.served import Served
from hpcurate.serving.servers import Listening, Server, ServerSpec, new_server
from hpcurate.serving.submitting import submit_server
from hpcurate.serving.tunnel import Way, full_name, own_name, tunnel_command
from hpcurate.site_files import load_site
from hpcurate.store.access import keep_private
from hpcurate.units import memory_text, plural
from hpcurate.web.server import Address, exposure, refuse_missing

ABOUT = (
    "requests through the stages of a pipeline, from a page in a browser or by HTTP: a file or a row goes from the "
    "input to STAGE; without STAGE to the last one that takes task by task"
)


def parser() -> argparse.ArgumentParser:
    """See `hpcurate serve --help`."""
    made = store_parser("serve", ABOUT)
    words = "+pipeline=NAME | STAGE | KEY=VALUE"
    made.add_argument("words", nargs="*", metavar=words, help="as for a run, one stage, and keys of the server")
    made.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="one more conf folder")
    made.add_argument("--list", action="store_true", help="only list the servers of the store")
    made.add_argument("--json", action="store_true", help="with --list: for programs")
    return made


def verb(argv: list[str]) -> int:
    """Serve until it is told to end, or wait until a job does; the exit status."""
    options = parser().parse_intermixed_args(argv[1:])
    if options.list:
        return list_servers(the_store(options), json=options.json)
    if not options.words:
        parser().print_help()
        return 0
    refuse_missing()
    keep_private()
    merge_packages()
    stage, own, words = split_words(of_class(_as_typed(options)))
    typed = sort_arguments(words)
    composed, settings = without_input(typed)
    settings, note = choose_launcher(settings)
    if note:
        say(note)
    if warning := exposure(own.listen):
        say(warning)
    wanted = _Wanted(request_of(settings, composed, typed), settings, stage, own)
    if settings.dry_run:
        show(would_serve(wanted.served, needs_of(wanted.steps, own.workers, own.time)))
        return 0
    return _serve(wanted)


def _as_typed(options: argparse.Namespace) -> list[str]:
    """The arguments of a run. Pure."""
    keys = [f"{key}={value}" for key, value in (("store", options.store), ("site", options.site)) if value is not None]
    return [*options.words, *keys, *(word for folder in options.config_dir for word in ("--config-dir", folder))]


class _Wanted:
    """What was typed, checked."""

    def __init__(self, request: Request, settings: Settings, stage: str | None, own: ServeOptions) -> None:
        self.request, self.settings, self.own = request, settings, own
        self.stages = ServedStages(request, settings, stage)
        check_secrets(request, request.steps(""))
        self.served = self.stages.served(own.limits())
        self.steps = self.stages.plan({}).steps
        self.title = self.served.title.partition(" ")[0]
        self.spec = ServerSpec(
            what=self.served.title,
            entry=ENTRY,
            served=msgspec.to_builtins(frozen(request, settings, stage, own.limits())),
            command=request.command,
            listen=own.listen,
            port=own.port,
            idle_s=own.limits().idle_s,
            made=time.time(),
        )

    def freeze(self, server: Server) -> str:
        """The code, in the server's folder."""
        return freeze(server.path, self.request, self.settings, self.stages)


def _serve(wanted: _Wanted) -> int:
    request = wanted.request
    launcher, store = make_launcher(request.launcher), open_store(request.store)
    if launcher.services is None:
        server = new_server(store, wanted.title, wanted.spec)
        server.record_spec(msgspec.structs.replace(wanted.spec, code=wanted.freeze(server)))
        return host(server, make, lambda address: show(_here(wanted.spec, server, address)), say)
    server = submit_server(
        store,
        wanted.title,
        msgspec.structs.replace(wanted.spec, launcher=request.launcher),
        needs_of(wanted.steps, wanted.own.workers, wanted.own.time),
        services=launcher.services,
        queue=launcher.queue,
        freeze=wanted.freeze,
    )
    return _wait(server, launcher, wanted.settings)


def _wait(server: Server, launcher: Launcher, settings: Settings) -> int:
    return await_server(server, launcher, load_site(settings.site).login)


def would_serve(served: Served, needs: ServerNeeds) -> list[str]:
    """What somebody could ask for, and what a job of it would. Pure."""
    given = [(one, "needed" if one.required else "") for one in served.inputs]
    given += [(one, "" if one.quick else "sets its stage up again") for one in served.parameters]
    asks = f"{plural(needs.cpus, 'core')}, {plural(needs.gpus, 'GPU')}, {memory_text(needs.memory_mb)}, {needs.time}"
    return [
        styled(served.title, "heading") + f": {' → '.join(served.stages)}",
        f"all its processes need {asks}",
        *table(("field", "of", "", "help"), [(one.key, one.kind, note, one.help) for one, note in given]),
    ]


def _here(spec: ServerSpec, server: Server, address: Address) -> list[str]:
    """What is printed of a server that runs where it was typed. Pure but for this machine's names."""
    lines = [styled(server.name, "heading") + f": {spec.what}: ready", "open:", "  " + styled(address.url, "command")]
    if os.environ.get("SSH_CONNECTION"):
        listening = Listening(host=address.host, port=address.port, token=address.token)
        way = Way(login=full_name(), user=own_name(), port=address.port)
        lines += ["from your own machine, first:", "  " + styled(tunnel_command(way, listening), "command")]
    return [*lines, f"what stages print: {server.log}", "Ctrl-C ends it"]
