"""What the page of a form does, apart from HTTP: dry runs, starts, looks, cancels, reports."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import attrs

from hpcurate.errors import UserError
from hpcurate.form.command import Asked, FieldErrors, asked, exports, field_errors, line
from hpcurate.form.fields import Form
from hpcurate.form.pages import Filled, form_page, progress, run_page, trouble
from hpcurate.form.processes import Answers
from hpcurate.form.runs import Seen, Started, StartedRuns
from hpcurate.form.secret_file import SecretFile
from hpcurate.form.watching import Sight
from hpcurate.report.watcher import Snapshot
from hpcurate.runs.cancel import cancel
from hpcurate.runs.folder import Run
from hpcurate.runs.state import RunState

PREVIEWS = 200
"""Dry runs that can still be started."""
SHOWN = 20
"""Starts that the form lists."""
BAD = (RunState.FAILED.value, RunState.STALLED.value, RunState.INCOMPLETE.value)


@attrs.define(frozen=True, kw_only=True)
class Telling:
    """How verbs tell the same: what they would print of a run."""

    watch: Callable[[Snapshot], Sequence[str]]
    """Beside the table: what waits and why, what is in work, what failed lately."""
    why: Callable[[Run], Sequence[str]]
    report: Callable[[Run], str]
    """The page of the run."""


@attrs.define
class _Previewed:
    asked: Asked
    started: str = ""
    """Id of the start that it led to: a second click leads there, too."""


@attrs.define
class Desk:
    """What the page does, apart from HTTP."""

    form: Form
    secrets: SecretFile
    runs: StartedRuns
    answers: Answers
    telling: Telling
    _previewed: OrderedDict[str, _Previewed] = attrs.field(factory=OrderedDict)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _reporting: threading.Lock = attrs.field(factory=threading.Lock)

    def __attrs_post_init__(self) -> None:
        self._names()  # what stands in the file is masked from now on

    # -- the form -------------------------------------------------------------------------------------

    def page(self, filled: Filled) -> str:
        """The form with what somebody has filled in."""
        names, wrong = self._names()
        ours = (self.form.pipeline, self.runs.folder)
        started = [one for one in self.runs.all() if (one.pipeline, one.folder) == ours][:SHOWN]
        return form_page(self.form, attrs.evolve(filled, names=names, secrets_error=wrong), started, self.secrets.path)

    def _names(self) -> tuple[tuple[str, ...], str]:
        try:
            return self.secrets.names(), ""
        except UserError as error:
            return (), str(error)

    def empty(self, again: str) -> Filled:
        """As it is at first, or as that start had it."""
        before = self.runs.one(again) if again else None
        return Filled(texts=self.form.texts(before.asked.texts if before else {}))

    def preview(self, given: Mapping[str, str]) -> Filled:
        """Check the values, and have the command say what it would do."""
        names, _ = self._names()
        texts = self.form.texts(given)
        try:
            wanted = asked(self.form, given, names)
            values = self.secrets.values(wanted.secrets.values()) if wanted.secrets else {}
        except FieldErrors as error:
            return Filled(texts=texts, errors=error.errors)
        except UserError as error:
            return Filled(texts=texts, errors={"": str(error)})
        folders = [word for folder in wanted.config_dirs for word in ("--config-dir", folder)]
        answer = self.answers.of(
            [*wanted.words, "dry_run=true", *folders], {name: values[of] for name, of in wanted.secrets.items()}
        )
        if answer.status != 0:
            return Filled(texts=texts, errors=field_errors(_refusal(answer.said), self.form))
        self._remember(wanted)
        plan = "\n".join(part for part in (answer.said.strip(), answer.text.strip()) if part)
        return Filled(texts=texts, asked=wanted, plan=plan, line=self.line(wanted))

    def _remember(self, wanted: Asked) -> None:
        with self._lock:
            self._previewed[wanted.digest] = _Previewed(wanted)
            self._previewed.move_to_end(wanted.digest)
            while len(self._previewed) > PREVIEWS:
                self._previewed.popitem(last=False)

    def start(self, digest: str) -> str | None:
        """Start what was previewed; the id of the start. None: nothing with this digest was. Raises UserError."""
        with self._lock:
            previewed = self._previewed.get(digest)
            if previewed is not None and not previewed.started:
                previewed.started = self.runs.start(self.form.pipeline, previewed.asked, self.secrets).id
            return previewed.started if previewed else None

    def line(self, wanted: Asked) -> str:
        """The command, for a person to type."""
        return line(wanted, self.runs.folder, self.secrets.path)

    # -- a run ----------------------------------------------------------------------------------------

    def sight(self, id: str) -> Sight:
        """What is shown of a start now."""
        started = self.runs.one(id)
        if started is None:
            return Sight(trouble("it is not remembered any more"), moves=False)
        try:
            seen = self.runs.seen(started)
            html = progress(seen, self._told(seen), self._why(started, seen), exports(started.asked, self.secrets.path))
        except (UserError, OSError) as error:  # the store may be away for a while
            return Sight(trouble(str(error)), moves=True)
        if not seen.moves:
            self.runs.forget(started)
        return Sight(html, seen.moves)

    def _told(self, seen: Seen) -> Sequence[str]:
        return self.telling.watch(seen.snapshot) if seen.snapshot else ()

    def _why(self, started: Started, seen: Seen) -> Sequence[str]:
        failed = seen.state in BAD or (seen.snapshot is not None and seen.snapshot.report.failed > 0)
        run = self.runs.run(started) if failed and not seen.moves else None
        return self.telling.why(run) if run is not None else ()

    def run_page(self, started: Started) -> str:
        """All of a start."""
        return run_page(self.form, started, self.line(started.asked), self.sight(started.id).html)

    def cancel(self, started: Started) -> None:
        """Stop it. Raises UserError."""
        run = self.runs.run(started)
        if run is not None:
            cancel(run)
        else:
            self.runs.stop(started)

    def report(self, started: Started) -> str | None:
        """The page of the run; None while there is no run."""
        run = self.runs.run(started)
        with self._reporting:  # each goes through all rows: one at a time
            return self.telling.report(run) if run is not None else None


def _refusal(said: str) -> str:
    """The lines with which a command that was refused ends, without what it said before."""
    _, found, last = said.rpartition("hpcurate: ")
    return last.strip() if found else said.strip() or "the command ended without a word"
