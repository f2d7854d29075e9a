"""The components of the page, and what they do. This module imports Gradio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr
from fastapi import FastAPI

from hpcurate.serving import page_view
from hpcurate.serving.page_fields import Asked, asked, groups
from hpcurate.serving.page_queue import PushedQueue
from hpcurate.serving.page_runs import Runs, Shot
from hpcurate.serving.page_uploads import Uploads, media_of
from hpcurate.serving.served import Field
from hpcurate.serving.service import Answers

__all__ = ["FILES", "ServicePage"]

FILES = "/requests/{id}/files/{number}"
"""Where the HTTP endpoint gives out a file of a result."""
FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
"""Of the system: Gradio's own would be fetched."""


QUIET: dict[str, Any] = {"preprocess": False, "api_visibility": "private", "show_progress": "hidden"}


class ServicePage:
    """The page of one service."""

    def __init__(self, service: Answers) -> None:
        self._service, self._served, self._path = service, service.served, ""
        self._inputs: list[Any] = []
        self._problems: dict[str, Any] = {}
        """Field → where it is said what is wrong with it."""
        self.uploads = Uploads(service)
        self._groups = groups(service.served)
        self._runs = Runs(
            service, self.uploads, self._served.inputs, [field for group in self._groups for field in group.fields]
        )
        with gr.Blocks(title=self._served.title, analytics_enabled=False) as self._blocks:
            self._lay_out()
        self._blocks._queue = PushedQueue(self._blocks)

    @property
    def functions(self) -> dict[int, int]:
        """What a browser may call: number → how many values it takes."""
        all_ = self._blocks.fns.items()
        return {n: len(f.inputs) for n, f in all_ if not any(event == "unload" for _, event in f.targets)}

    def mount(self, app: FastAPI, path: str) -> None:
        """Gradio's own app, with all that can be off switched off."""
        self._path = path
        gr.mount_gradio_app(
            app,
            self._blocks,
            path=path,
            footer_links=[],
            run_history=False,
            mcp_server=False,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            show_error=False,
            max_file_size=self._served.limits.upload_mb * 2**20,
            theme=gr.themes.Default(**FONTS),
            css=(page_view.ASSETS / "page.css").read_text(),
        )

    # -- what is there

    def _lay_out(self) -> None:
        _html(page_view.head_html(self._served))
        self._health = _html("")
        with gr.Row():
            with gr.Column():
                self._form()
            with gr.Column():
                self._outputs()
        self._wire()

    def _form(self) -> None:
        for field in self._served.inputs:
            self._field(field)
        for group in self._groups:
            with gr.Accordion(group.title, open=group.open):
                for field in group.fields:
                    self._field(field)
        with gr.Row():
            self._run = gr.Button("Run", variant="primary")
            self._cancel = gr.Button("Cancel", interactive=False)

    def _field(self, field: Field) -> None:
        what = asked(field, self._served.example.get(field.key, field.default))
        if what.note:
            _html(page_view.note_html(what.note))
        component = _component(field, what)
        self._inputs.append(component)
        if field.kind == "file":
            component.change(self.preview, component, _html(""), trigger_mode="always_last", **QUIET)
        self._problems[field.key] = _html("", visible=False)

    def _outputs(self) -> None:
        self._state = _html("")
        with gr.Accordion("Log", visible=False) as self._log_box:
            self._log = gr.Textbox(
                lines=4, max_lines=16, autoscroll=True, interactive=False, show_label=False, elem_id="log"
            )
        self._result = _html("")

    def _wire(self) -> None:
        outputs = [self._run, self._cancel, self._health, self._state, self._log_box, self._log, self._result]
        self._run.click(self.run, self._inputs, [*outputs, *self._problems.values()], trigger_mode="once", **QUIET)
        self._cancel.click(self.cancel, None, None, trigger_mode="multiple", **QUIET)
        self._blocks.load(self.health, None, self._health, **QUIET)
        self._blocks.unload(lambda: None)  # for the heart that beats while the page is open

    # -- what happens

    def preview(self, name: Any) -> str:
        """Of a file that was just chosen."""
        upload = self.uploads.named(name) if isinstance(name, str) else None
        place = f"{self._path}/gradio_api/file={name}"
        return page_view.preview_html(upload.name, media_of(upload), place) if upload else ""

    def health(self) -> str:
        """The line about the service."""
        return page_view.health_html(self._service.health(), self._served.limits.idle_s)

    def cancel(self, request: gr.Request) -> None:
        """The button."""
        self._runs.cancel(request.session_hash or "")

    def left(self, session: str) -> None:
        """The browser of a session has gone away."""
        self._runs.cancel(session)

    async def run(self, request: gr.Request, *values: Any) -> AsyncIterator[dict[Any, Any]]:
        """One request, from the button to its end: what changes on the page with each event."""
        async for shot in self._runs.run(request.session_hash or "", values):
            yield self._changes(shot)

    def _changes(self, shot: Shot) -> dict[Any, Any]:
        beside = {
            where: gr.update(value=page_view.wrong_html(shot.problems.get(key, "")), visible=key in shot.problems)
            for key, where in self._problems.items()
        }
        return {
            self._run: gr.update(interactive=shot.over),
            self._cancel: gr.update(interactive=not shot.over),
            self._health: self.health(),
            self._state: _state_html(shot),
            self._log_box: gr.update(visible=bool(shot.view.lines)),
            self._log: shot.view.log,
            self._result: page_view.result_html(shot.view, shot.request, FILES),
            **beside,
        }


def _state_html(shot: Shot) -> str:
    if shot.problems:
        return page_view.problems_html(shot.problems)
    return page_view.refusal_html(shot.refusal) if shot.refusal else page_view.state_html(shot.view)


def _html(text: str, *classes: str, **options: Any) -> Any:
    return gr.HTML(text, elem_classes=["hp", *classes], js_on_load=None, **options)


def _component(field: Field, what: Asked) -> Any:
    kind = getattr(gr, what.component)
    name = "field-" + "".join(char if char.isalnum() else "-" for char in field.key)
    if field.kind != "file":
        return kind(elem_id=name, interactive=True, **what.arguments)
    component = kind(elem_id=name, interactive=True, **what.arguments)
    component.data_model = None  # its value, on this side, is the name of an upload: none of Gradio's code opens it
    component.api_info = lambda: {"type": "string"}  # not in a class: Gradio writes a .pyi beside each that is derived
    component.example_payload = lambda: None
    return component
