"""The API reference at /schema, and bodies that are judged row by row in it."""

from typing import Any

import msgspec
from litestar import Litestar
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    RequestBody,
    SecurityScheme,
)
from litestar.routes import HTTPRoute

from backend.errors import Problem

JsonSchema = dict[str, Any]

PROBLEMS = {
    status: ResponseSpec(
        data_container=Problem,
        media_type="application/problem+json",
        description=description,
        generate_examples=False,
    )
    for status, description in {
        400: "The form is wrong; `detail` and `pointer` name the place",
        401: "No known API key",
        403: "The key may not do this",
        404: "No such thing in this shop",
        409: "In conflict with another request, see `code`",
        413: "Too large",
        422: "The form is right, the meaning is not",
        429: "Too many calls; `Retry-After` says how long to wait",
        503: "Cannot be done at the moment; `Retry-After` says how long to wait",
    }.items()
}
"""Every route may answer these."""


def reference() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Aisle",
        version="1",
        path="/schema",
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "key": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="An API key: `ak_live_sec_…` on servers, `ak_live_pub_…` in shops",
                )
            }
        ),
        security=[{"key": []}],
    )


def describe_problems(app: Litestar) -> None:
    """Litestar has no place for answers that every route may give."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                handler.responses = {**PROBLEMS, **(handler.responses or {})}


def body_of(row: type[msgspec.Struct], example: JsonSchema) -> RequestBody:
    """One row by itself."""
    return _json_body(_schema_of(row), example)


def body_of_rows(
    row: type[msgspec.Struct], member: str, most: int, example: JsonSchema
) -> RequestBody:
    """One row by itself, or many: {"products": […]}."""
    schema = _schema_of(row)
    many = {
        "type": "object",
        "properties": {member: {"type": "array", "items": schema, "minItems": 1, "maxItems": most}},
        "required": [member],
    }
    return _json_body({"oneOf": [many, schema]}, {member: [example]})


def _schema_of(row: type[msgspec.Struct]) -> JsonSchema:
    [one], components = msgspec.json.schema_components([row])
    return components.get(row.__name__, one)


def _json_body(schema: JsonSchema, example: JsonSchema) -> RequestBody:
    written: Any = schema  # Litestar writes a plain schema as it is, and types it otherwise
    media_type = OpenAPIMediaType(schema=written, example=example)
    return RequestBody(content={"application/json": media_type}, required=True)
