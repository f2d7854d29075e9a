"""The page as text: templates, style and script put into one file. Pure but for reading these."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from hpcurate.report.page import charts, dag, text
from hpcurate.report.page.item_data import item_data
from hpcurate.report.page.model import Page
from hpcurate.report.page.sections import graph_boxes, headline, measure_title

ASSETS = Path(__file__).with_name("assets")
COLUMNS = (6, 4, 2)
"""Boxes of the graph beside each other on a wide, a middle and a narrow screen."""
FILTERS = {"number": text.number, "memory": text.memory, "span": text.span}
SHARE = text.share


def render(page: Page, live: int = 0) -> str:
    """One HTML file that needs no other. With a number it is one that a server gives, which hears of later ones."""
    template = _environment().get_template("page.html")
    boxes = graph_boxes(page)
    head, body, hearing = _asset("theme.js"), _asset("page.js"), _asset("live.js") if live else ""
    return template.render(
        page=page,
        headline=headline(page),
        graphs=[(columns, dag.graph(boxes, columns, _in_words(boxes))) for columns in COLUMNS],
        histogram=charts.histogram,
        draw_lanes=charts.lanes,
        draw_curve=charts.curve,
        measure_title=measure_title,
        share=SHARE,
        style=Markup(_asset("style.css")),
        theme=Markup(head),
        script=Markup(body),
        live=live,
        hearing=Markup(hearing),
        policy=policy(head, body, hearing) + "; connect-src 'self'" if live else policy(head, body),
        data=embedded(item_data(page)),
    )


def _in_words(boxes: list[dag.Box]) -> str:
    return "Pipeline: " + dag.in_words(boxes)


def policy(*scripts: str) -> str:
    """What a browser may do with the page: run these scripts, and ask nobody for anything."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}"


def embedded(value: Any) -> Markup:
    """JSON that can stand in a script element: nothing in it ends the element or begins another."""
    plain = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@functools.cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text()


def _lined(value: str) -> Markup:
    """A text of several lines."""
    return escape(text.shown(value, lines=True))


@functools.cache
def _environment() -> jinja2.Environment:
    """Everything that a template writes is escaped, and all text passes `shown`, whoever wrote the template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: text.shown(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({**FILTERS, "lined": _lined})
    return environment
