"""A server as a job: its folder, its code, one submission."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import msgspec

from hpcurate.errors import LauncherError, SubmissionUnknown, UserError
from hpcurate.runs.launcher import Queue, ServerJob, ServerNeeds, Services
from hpcurate.serving.servers import Server, ServerSpec, SubmittedJob, new_server
from hpcurate.store.layout import Store

__all__ = ["submit_server"]


def submit_server(
    store: Store,
    title: str,
    spec: ServerSpec,
    needs: ServerNeeds,
    *,
    services: Services,
    queue: Queue,
    freeze: Callable[[Server], str | None],
) -> Server:
    """Make its folder, and queue it. Raises UserError or OSError; nothing is left then.

    `freeze` writes what it needs into its folder, and returns that of its code there; None: what is installed runs.
    Where it is open whether the scheduler took the job, the server stays: it is found under its name, and waited for
    like any other.
    """
    cluster = queue.cluster()
    if cluster is None:
        raise LauncherError(f"{queue.name}: the scheduler does not answer; type the same again in a while")
    services.check(needs, store.root)
    server = new_server(store, title, spec)
    try:
        code = freeze(server)
        server.record_spec(msgspec.structs.replace(spec, code=code, time=needs.time))
        job = SubmittedJob(queue=queue.name, cluster=cluster)
        server.record_job(job)  # before there is one: who finds this looks for its name
        _submit(server, job, ServerJob(name=server.name, folder=server.path, code=code, needs=needs), services)
    except (UserError, OSError):
        shutil.rmtree(server.path, ignore_errors=True)
        raise
    return server


def _submit(server: Server, job: SubmittedJob, wanted: ServerJob, services: Services) -> None:
    try:
        id = services.start(wanted)
    except SubmissionUnknown:
        return
    server.record_job(msgspec.structs.replace(job, id=id))
