"""The page about an endpoint, in one file: FastAPI's own loads its script from elsewhere, which a cluster cannot."""

from __future__ import annotations

import functools
import json
import shlex
from pathlib import Path
from typing import Any

import jinja2

from hpcurate.serving.endpoint_schema import OPERATIONS, RESPONSES
from hpcurate.serving.served import Field, Served

__all__ = ["POLICY", "curl", "page_of"]

ASSETS = Path(__file__).with_name("assets")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""What a browser may do with the page: look at it."""


def page_of(served: Served, base: str) -> str:
    """HTML. `base`: `http://127.0.0.1:8123`, as whoever asks for it has it. Pure but for reading the template."""
    return _template().render(
        served=served,
        operations=OPERATIONS,
        responses=sorted(RESPONSES.items()),
        run=curl(served, base),
        events=f'curl -N -H "Authorization: Bearer $TOKEN" {base}/requests/ID/events',
        tables=[("What a request gives", served.inputs), ("Parameters of the stages", served.parameters)],
    )


def curl(served: Served, base: str) -> str:
    """A line that sends a request: what it needs, and one parameter as an example. Pure."""
    needed = [field for field in served.inputs if field.required or field.key in served.example]
    given = [f"{field.key}={_example(field, served.example)}" for field in needed]
    given += [f"{field.key}={_text(field.default)}" for field in served.parameters[:1] if field.default is not None]
    words = ["curl", "-H", "Authorization: Bearer $TOKEN", *(word for one in given for word in ("-F", one))]
    return " ".join(_quoted(word) for word in [*words, f"{base}/run"])


def _quoted(word: str) -> str:
    return f'"{word}"' if "$TOKEN" in word else shlex.quote(word)


def _example(field: Field, example: dict[str, Any]) -> str:
    if field.kind == "file":
        return f"@clip{field.suffixes[0] if field.suffixes else ''}"
    value = example.get(field.key, field.choices[0] if field.choices else field.default)
    return "…" if value is None else _text(value)


def _text(value: Any) -> str:
    """A value as it is typed into a form. Pure."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typed"] = _text
    return environment.get_template("endpoint.html")
