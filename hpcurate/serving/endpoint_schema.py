"""OpenAPI of a service: what its endpoint takes and answers, from what is served. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hpcurate.serving.served import Failed, Field, Served
from hpcurate.serving.wire import Accepted, Done, Problem, Problems, State

__all__ = ["ID", "OPERATIONS", "RESPONSES", "document", "field_schema", "request_body"]

VERSION = "1"
"""Of the endpoint: another one would break its clients."""
ID = "^[0-9a-f]{32}$"
TYPES = {"text": "string", "long_text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
_JSON = "application/json"
_STRUCTS = (Accepted, Done, Failed, Problem, Problems, State)
RESPONSES: Mapping[int, tuple[str, type[Any] | None]] = {
    400: ("The form is cut off, or broken", Problem),
    401: ("The token is missing, or another one", None),
    404: ("There is no such request, or it is kept no longer", Problem),
    409: ("It was cancelled, or has ended already", Problem),
    413: ("More bytes than are taken", Problem),
    415: ("Neither a form nor JSON", Problem),
    422: ("A field is not as expected (`problems`), or a task failed in a stage (`kind`: failed)", Problems),
    429: ("The queue is full: try later", Problem),
    502: ("The process of a stage died, or could not be set up", Failed),
    503: ("The server is ending", Problem),
    504: ("A stage took too long", Failed),
    507: ("A stage took too much memory, or there is no room for files", Failed),
}
"""Status → (what it says, what is in the answer)."""


def field_schema(field: Field) -> dict[str, Any]:
    """JSON schema of one field. Pure."""
    schema: dict[str, Any] = {}
    if field.kind == "file":
        schema = {"type": "string", "format": "binary"}
    elif field.kind == "choice":
        schema = {"enum": [*field.choices, *([None] if field.optional else [])]}
    elif field.kind in TYPES:
        plain = TYPES[field.kind]
        schema = {"type": [plain, "null"] if field.optional else plain}
    if field.help:
        schema["description"] = field.help
    if not field.required:
        schema["default"] = field.default
    return schema


def request_body(served: Served) -> dict[str, Any]:
    """Of `POST /run` and `POST /requests`: a form, or JSON where no file is needed. Pure."""
    form = _object((*served.inputs, *served.parameters), served.example)
    content = {"multipart/form-data": {"schema": form}}
    if not any(field.kind == "file" and field.required for field in served.inputs):
        inputs = _object([field for field in served.inputs if field.kind != "file"], served.example)
        parts = {"inputs": inputs, "parameters": _object(served.parameters, {})}
        required = ["inputs"] if inputs.get("required") else []
        content[_JSON] = {"schema": {"type": "object", "properties": parts, "additionalProperties": False}}
        if required:
            content[_JSON]["schema"]["required"] = required
    return {"required": True, "content": content}


def _object(fields: Any, example: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "properties": {field.key: field_schema(field) for field in fields},
        "additionalProperties": False,
    }
    required = [field.key for field in fields if field.required]
    return {**found, **({"required": required} if required else {}), **({"example": dict(example)} if example else {})}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What one path does."""

    method: str
    path: str
    about: str
    ok: int = 200
    answer: type[Any] | None = None
    """What is in the answer if all is well."""
    refused: tuple[int, ...] = ()
    """Statuses if it is not; 401 is one of each."""
    takes_request: bool = False


_TAKEN = (400, 413, 415, 422, 429, 503, 507)
OPERATIONS = (
    Operation(
        method="POST", path="/run", about="Send a request and wait for its result. Who does not wait takes it back.",
        answer=Done, refused=(*_TAKEN, 409, 502, 504), takes_request=True,
    ),
    Operation(
        method="POST", path="/requests", about="Send a request, and ask for its state or events later.",
        ok=202, answer=Accepted, refused=_TAKEN, takes_request=True,
    ),
    Operation(
        method="GET", path="/requests/{id}", about="Where a request stands, and its result.",
        answer=State, refused=(404,),
    ),
    Operation(
        method="DELETE", path="/requests/{id}", about="Take a request back, waiting or in work.",
        ok=204, refused=(404, 409),
    ),
    Operation(
        method="GET", path="/requests/{id}/events", refused=(404,),
        about="Server-sent events from the first on: queued, working, line; then result, failed or cancelled; end.",
    ),
    Operation(
        method="GET", path="/requests/{id}/files/{number}", about="A file of a result, whole or a range of it.",
        refused=(404,),
    ),
    Operation(method="GET", path="/health", about="How the server does: its state, its workers, who waits."),
)  # fmt: skip


def document(served: Served) -> dict[str, Any]:
    """OpenAPI of all paths of a service. Pure."""
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, served)
    return {
        "openapi": "3.1.0",
        "info": {"title": served.title, "description": served.about, "version": VERSION},
        "paths": paths,
        "components": _components(),
        "security": [{"token": []}],
    }


def _operation(one: Operation, served: Served) -> dict[str, Any]:
    said = {str(status): _response(*RESPONSES[status]) for status in (401, *one.refused)}
    found = {"summary": one.about, "responses": {str(one.ok): _response("Done", one.answer), **said}}
    parameters = [_NAMES[name] for name in _NAMES if f"{{{name}}}" in one.path]
    return {
        **found,
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": request_body(served)} if one.takes_request else {}),
    }


_NAMES: dict[str, dict[str, Any]] = {
    "id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": ID}},
    "number": {"name": "number", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}},
}


def _response(about: str, answer: type[Any] | None) -> dict[str, Any]:
    if answer is None:
        return {"description": about}
    schema = {"$ref": f"#/components/schemas/{answer.__name__}"}
    if answer is Problems:
        schema = {"oneOf": [schema, {"$ref": "#/components/schemas/Failed"}]}  # type: ignore[dict-item]
    return {"description": about, "content": {_JSON: {"schema": schema}}}


def _components() -> dict[str, Any]:
    """Schemas of all answers, and how the token is given. Pure."""
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    return {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
