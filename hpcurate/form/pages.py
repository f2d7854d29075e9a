"""Pages of the form as text: templates are filled in, and everything in them is escaped and has its secrets masked."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import jinja2
from markupsafe import Markup

from hpcurate.form.command import Asked
from hpcurate.form.fields import Field, Form, shown
from hpcurate.form.runs import Seen, Started
from hpcurate.masks import mask
from hpcurate.units import duration

TEMPLATES = Path(__file__).with_name("templates")
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a browser may do with these pages."""
ASSETS = {"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


@attrs.define(frozen=True, kw_only=True)
class Filled:
    """A form as somebody has filled it in."""

    texts: Mapping[str, str]
    errors: Mapping[str, str] = attrs.field(factory=dict)
    """By key; the empty key: of no field."""
    names: Sequence[str] = ()
    """Of secrets."""
    secrets_error: str = ""
    asked: Asked | None = None
    """What the dry run was of."""
    plan: str = ""
    """What it printed."""
    line: str = ""
    """The command."""


def form_page(form: Form, filled: Filled, started: Sequence[Started], secrets: str) -> str:
    """The form, and below it what the dry run has said."""
    return _page("form.html", form=form, filled=filled, started=started, secrets=secrets)


def run_page(form: Form, started: Started, line: str, progress: str) -> str:
    """A run that was started."""
    return _page("run.html", form=form, started=started, line=line, progress=Markup(progress))


def progress(seen: Seen, told: Sequence[str], why: Sequence[str], exports: Sequence[str]) -> str:
    """What of a run moves; `exports`: what further commands need in their environment."""
    return _page("progress.html", seen=seen, told=told, why=why, exports=exports)


def message_page(form: Form, title: str, text: str) -> str:
    """One thing to say."""
    return _page("message.html", form=form, title=title, text=text)


def trouble(text: str) -> str:
    """Where a run is, nothing can be seen now."""
    return _page("trouble.html", text=text)


def _page(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(values)


def options(field: Field) -> list[str]:
    """What can be chosen."""
    return [shown(choice) for choice in field.choices]


def id_of(key: str) -> str:
    """Of the element of a field: dots would be classes."""
    return "f-" + key.replace(".", "-")


def share(value: float | None) -> str:
    """`37%`; empty where it is not known."""
    return "" if value is None else f"{value:.0%}"


def finalize(value: Any) -> Any:
    """Whatever is put into a page."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return mask(value)
    return value


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    environment.filters |= {"span": duration, "id_of": id_of, "share": share, "options": options}
    return environment


@functools.cache
def asset(name: str) -> str:
    """A file of ours beside the templates."""
    return (TEMPLATES / name).read_text(encoding="utf-8")
