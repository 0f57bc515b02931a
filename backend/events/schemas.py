"""JSON of events as they arrive, and the rows they become."""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from msgspec import Meta, Struct

from backend.errors import Problem
from ml.dataset import EventType

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


class EventRow(Struct, frozen=True, array_like=True, gc=False):
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


class RowResult(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
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


class RejectedEvents(Problem, frozen=True, kw_only=True):
    """The problem when no event at all was accepted."""

    results: list[RowResult]


class StoredEvent(Struct, frozen=True, kw_only=True, gc=False):
    event_id: str
    type: str
    customer_id: str | None
    session_id: str | None
    product_id: str | None
    occurred_at: datetime
    quantity: int | None
    price_cents: int | None
    currency: str | None
    recommendation_id: str | None
    dwell_ms: int | None
    context: dict[str, Any] | None


class StoredEvents(Struct, frozen=True, kw_only=True):
    """Newest first. An event appears once it is stored, mostly within a second of its answer."""

    items: list[StoredEvent]
    next_cursor: str | None


class DeadLetter(Struct, frozen=True, kw_only=True):
    """What one request brought and could not be stored."""

    entry_id: str
    reason: str
    failed_at: datetime
    events: Annotated[int, Meta(description="0 when it cannot even be read")]
    event_ids: Annotated[list[str], Meta(description="The first of them")]


class DeadLetters(Struct, frozen=True, kw_only=True):
    items: list[DeadLetter]
    next_cursor: str | None


class Retried(Struct, frozen=True, kw_only=True):
    entry_id: str
    events: int


class UnknownProducts(Struct, frozen=True, kw_only=True):
    events: Annotated[int, Meta(description="Events that name a product the catalogue lacks")]
    examples: Annotated[list[str], Meta(description="Such product ids, the most frequent first")]


class EventCounts(Struct, frozen=True, kw_only=True):
    total: int
    by_type: dict[str, int]
    first_at: datetime | None
    last_at: datetime | None
    unknown_products: UnknownProducts


class Counts(Struct, frozen=True, kw_only=True):
    products: int
    customers: int
    events: EventCounts


class Waiting(Struct, frozen=True, kw_only=True):
    """Accepted and not stored yet, of all shops of this installation."""

    requests: int
    oldest_s: float


class ServingState(Struct, frozen=True, kw_only=True):
    release_id: str
    champion: Annotated[str, Meta(description="What orders: own-models, ease, item-knn, …")]
    passed: Annotated[bool, Meta(description="Whether the gate let the own models serve")]
    verdict: str
    switched_at: datetime


class TrainingState(Struct, frozen=True, kw_only=True):
    job_id: str
    state: str
    stage: str | None
    progress: float
    reason: Annotated[str | None, Meta(description="Why it failed, or trained no own models")]
    created_at: datetime
    finished_at: datetime | None


class Readiness(Struct, frozen=True, kw_only=True):
    """What Aisle has of a shop, and what it does with it."""

    products: int
    customers: int
    events: EventCounts
    waiting: Annotated[Waiting | None, Meta(description="null: Redis cannot be asked")]
    dead_letters: int
    serving: Annotated[ServingState | None, Meta(description="null: nothing trained yet")]
    last_training: TrainingState | None
