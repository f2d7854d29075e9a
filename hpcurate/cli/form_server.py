"""The process behind a form: where it is typed, or as a job on a compute node."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from hpcurate.cli.start.form_fields import form_of
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.store_choice import state_folder
from hpcurate.cli.verbs.common import dead_letter_line, note_lines, queue_lines, work_lines
from hpcurate.cli.verbs.usage import prices_of
from hpcurate.cli.verbs.why import why_lines
from hpcurate.form.fields import Form
from hpcurate.form.secret_file import SecretFile
from hpcurate.report.causes import causes_of
from hpcurate.report.run_view import RunView
from hpcurate.report.watcher import Snapshot
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import ServerNeeds
from hpcurate.serving.life import Life
from hpcurate.serving.servers import Server
from hpcurate.site_files import site_profile
from hpcurate.web.door import App

ENTRY = "hpcurate.cli.form_server.make"


class ServedForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a form is, as it was typed."""

    words: tuple[str, ...]
    """Its pipeline, and what all runs have."""
    where: str
    """Folder in which it was typed."""
    secrets: str
    """Path of the file of secrets."""


def form_needs(time: str) -> ServerNeeds:
    """What the job of a form asks for: it starts runs, and works on nothing. Pure."""
    return ServerNeeds(stage="form", cpus=1, memory_mb=1000, time=time)


class HostedForm:
    """See `Hosted`."""

    def __init__(self, form: Form, secrets: SecretFile, folder: str) -> None:
        from hpcurate.form.app import app_of
        from hpcurate.form.desk import Desk, Telling
        from hpcurate.form.processes import Answers
        from hpcurate.form.runs import StartedRuns

        self._answers = Answers(folder)
        desk = Desk(
            form=form,
            secrets=secrets,
            runs=StartedRuns(str(state_folder() / "form"), folder),
            answers=self._answers,
            telling=Telling(watch=_watch, why=_why, report=_report),
        )
        self.app: App = app_of(desk)

    def working(self) -> int:
        """See `Hosted`. Runs that were started go on without it."""
        return 0

    def close(self, grace_s: float) -> None:
        """See `Hosted`."""
        self._answers.end()


def make(server: Server, life: Life) -> HostedForm:
    """See `Make`."""
    served = msgspec.convert(server.spec.served, ServedForm)
    os.chdir(served.where)
    return HostedForm(form_of(sort_arguments(on_slurm(served.words))), SecretFile(served.secrets), served.where)


def on_slurm(words: Sequence[str]) -> list[str]:
    """Runs of a form that is a job are submitted, unless it says otherwise: in its job they have no room. Pure."""
    named = any(word.lstrip("+").startswith("launcher=") for word in words)
    return [*words, *([] if named else ["launcher=slurm"])]


def _watch(snapshot: Snapshot) -> list[str]:
    report = snapshot.report
    lines = work_lines(report) + note_lines(report) + queue_lines(snapshot.jobs)
    if snapshot.newest:
        lines += ["", "newest dead letters:", *map(dead_letter_line, snapshot.newest)]
    return lines


def _why(run: Run) -> list[str]:
    return why_lines(causes_of(RunView(run), None))


def _report(run: Run) -> str:
    from hpcurate import __version__
    from hpcurate.report.page.model import Options, page_of
    from hpcurate.report.page.render import render

    return render(page_of(RunView(run), Options(version=__version__, prices=prices_of(site_profile(None)[1]))))
