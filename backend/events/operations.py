"""OpenAPI of request bodies that are judged row by row, so that no handler declares them."""

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody

from backend.events.parse import BEACON, SERVER, Form
from backend.events.schemas import BeaconEventIn, EventIn

EXAMPLE = {
    "events": [
        {
            "event_id": "order-1001-1",
            "type": "purchase",
            "customer_id": "c-42",
            "product_id": "sku-7",
            "occurred_at": "2026-03-01T12:00:00Z",
            "quantity": 2,
            "price_cents": 1999,
            "currency": "EUR",
        }
    ]
}


@dataclass
class EventsOperation(Operation):
    def __post_init__(self) -> None:
        self.request_body = _body(EventIn, SERVER, ["application/json"], EXAMPLE)


@dataclass
class BeaconOperation(Operation):
    def __post_init__(self) -> None:
        example = {"key": "ak_live_pub_…", **EXAMPLE}
        media_types = ["application/json", "text/plain"]
        self.request_body = _body(BeaconEventIn, BEACON, media_types, example)


def _body(
    event: type[msgspec.Struct], form: Form, media_types: list[str], example: dict[str, Any]
) -> RequestBody:
    [one], components = msgspec.json.schema_components([event])
    schema: Any = components.get(event.__name__, one)
    many = {
        "type": "object",
        "properties": {
            "events": {"type": "array", "items": schema, "minItems": 1, "maxItems": form.most}
        },
        "required": ["events"],
    }
    either: Any = {"oneOf": [many, schema]}
    media_type = OpenAPIMediaType(schema=either, example=example)
    return RequestBody(content=dict.fromkeys(media_types, media_type), required=True)
