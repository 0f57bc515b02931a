"""JSON of events as they arrive, and the rows they become."""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from msgspec import Meta, Struct

EventType = Literal[
    "view",
    "impression",
    "click",
    "dwell",
    "add_to_cart",
    "remove_from_cart",
    "search",
    "wishlist",
    "purchase",
    "refund",
    "dismiss",
]
EVENT_TYPES: frozenset[str] = frozenset(get_args(EventType))
WITHOUT_PRODUCT = frozenset({"search", "dwell"})
"""Types that may say something about the visit instead of one product."""

LONGEST_ID = 200
LARGEST_CONTEXT_BYTES = 4096
LARGEST_INT = 2**31 - 1
LARGEST_PRICE = 10**13

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
EventId = Annotated[
    Id, Meta(description="Chosen by the sender; sent again, the event counts once", examples=["o1"])
]
OccurredAt = Annotated[
    datetime,
    Meta(
        description="ISO 8601, UTC when it names no zone; up to 24 h ahead counts as now",
        examples=["2026-03-01T12:00:00Z"],
    ),
]


class EventFields(Struct, frozen=True, kw_only=True, gc=False):
    """One thing a shopper did. Needs `customer_id` or `session_id`, and mostly a product."""

    event_id: EventId
    type: EventType
    customer_id: Annotated[Id | None, Meta(description="The shop's own id of the shopper")] = None
    session_id: Annotated[Id | None, Meta(description="An anonymous visitor's session")] = None
    product_id: Annotated[
        Id | None, Meta(description="Required but for `search` and `dwell`; may be unknown yet")
    ] = None
    quantity: Annotated[int, Meta(ge=0, le=LARGEST_INT)] | None = None
    price_cents: (
        Annotated[int, Meta(ge=0, le=LARGEST_PRICE, description="Of one piece, minor units")] | None
    ) = None
    currency: (
        Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217", examples=["EUR"])] | None
    ) = None
    recommendation_id: Annotated[
        Id | None, Meta(description="The answer that showed the product")
    ] = None
    dwell_ms: Annotated[int, Meta(ge=0, le=LARGEST_INT)] | None = None
    context: Annotated[
        dict[str, Any] | None, Meta(description="Anything else, at most 4 kB of JSON")
    ] = None


class EventIn(EventFields, frozen=True, kw_only=True, gc=False):
    """An event sent by a server, or read from an import."""

    occurred_at: OccurredAt


class BeaconEventIn(EventFields, frozen=True, kw_only=True, gc=False):
    """An event sent by a storefront."""

    occurred_at: Annotated[OccurredAt | None, Meta(description="Absent: now")] = None


class EventRow(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One valid event, its fields in the order of the columns that `insert_events` fills.

    The fields are also the format of the stream and the spool: new ones go to the end, with a
    default.
    """

    event_id: str
    type: str
    customer_id: str | None
    session_id: str | None
    product_id: str | None
    occurred_at: datetime
    """With a time zone."""
    quantity: int | None = None
    price_cents: int | None = None
    currency: str | None = None
    recommendation_id: str | None = None
    dwell_ms: int | None = None
    context: str | None = None
    """JSON text of an object."""


class EventBatch(Struct, frozen=True, kw_only=True, array_like=True):
    """Valid events of one shop that arrived together."""

    tenant_id: UUID
    received_at: datetime
    rows: list[EventRow]


Status = Literal["accepted", "duplicate", "rejected"]


class RowResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one event, in the order they were sent."""

    status: Annotated[Status, Meta(description="`duplicate`: its id came before in this batch")]
    event_id: Annotated[str | None, Meta(description="Absent when it could not be read")] = None
    code: Annotated[str | None, Meta(examples=["out_of_range"])] = None
    pointer: Annotated[
        str | None, Meta(description="JSON pointer into the request", examples=["/events/3/type"])
    ] = None
    message: Annotated[str | None, Meta(description="What is wrong, in words")] = None


class EventsAnswer(Struct, frozen=True, kw_only=True):
    """Accepted events are safe: they survive the failure of any one process."""

    accepted: int
    duplicates: int
    rejected: int
    results: list[RowResult]
