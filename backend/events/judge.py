"""Which events of a request are good, which are not and why: decided row by row."""

from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from backend.events.parse import AnyEvent, Form, Unread, read_events
from backend.events.schemas import LARGEST_CONTEXT_BYTES, WITHOUT_PRODUCT, EventRow, RowResult
from backend.explain import Flaw

EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
FURTHEST_AHEAD = timedelta(hours=24)


class Judgement(Struct, frozen=True, kw_only=True):
    """`rows` are the accepted ones; `results` has one entry per event sent, in that order."""

    rows: list[EventRow]
    results: list[RowResult]


def judge(body: bytes, form: Form, now: datetime) -> Judgement:
    """Raises BadRequest when the body has no events to judge, TooLarge when it has too many."""
    sent = read_events(body, form)
    may_hold_nul = b"\\u0000" in body
    rows: list[EventRow] = []
    results: list[RowResult] = []
    seen: set[str] = set()
    for position, event in enumerate(sent.events):
        outcome = (
            event if isinstance(event, Unread) else settle(event, now, may_hold_nul=may_hold_nul)
        )
        if isinstance(outcome, Unread):
            results.append(_rejected(outcome, sent.pointer.format(position)))
        elif outcome.event_id in seen:
            results.append(RowResult(status="duplicate", event_id=outcome.event_id))
        else:
            seen.add(outcome.event_id)
            rows.append(outcome)
            results.append(RowResult(status="accepted", event_id=outcome.event_id))
    return Judgement(rows=rows, results=results)


def _rejected(unread: Unread, pointer: str) -> RowResult:
    field = unread.flaw.field
    return RowResult(
        status="rejected",
        event_id=unread.event_id,
        code=unread.flaw.code,
        pointer=pointer if field is None else f"{pointer}/{field}",
        message=unread.flaw.message,
    )


def settle(event: AnyEvent, now: datetime, *, may_hold_nul: bool) -> EventRow | Unread:
    """Check what spans fields, and clamp the time."""
    occurred_at = event.occurred_at or now
    if occurred_at.tzinfo is None:
        occurred_at = occurred_at.replace(tzinfo=UTC)
    context = None
    if event.context is not None:
        context = msgspec.json.encode(event.context).decode()
    flaw = _flaw(event, occurred_at, now, context) or (
        _nul_flaw(event, context) if may_hold_nul else None
    )
    if flaw is not None:
        return Unread(event_id=event.event_id, flaw=flaw)
    return EventRow(
        event.event_id,
        event.type,
        event.customer_id,
        event.session_id,
        event.product_id,
        min(occurred_at, now),
        event.quantity,
        event.price_cents,
        event.currency,
        event.recommendation_id,
        event.dwell_ms,
        context,
    )


def _flaw(
    event: AnyEvent, occurred_at: datetime, now: datetime, context: str | None
) -> Flaw | None:
    if event.customer_id is None and event.session_id is None:
        message = "customer_id or session_id is missing"
        return Flaw(code="missing", field="customer_id", message=message)
    if event.product_id is None and event.type not in WITHOUT_PRODUCT:
        message = f"product_id is missing: {event.type} needs it"
        return Flaw(code="missing", field="product_id", message=message)
    if occurred_at < EARLIEST:
        message = "occurred_at is before 1995"
        return Flaw(code="out_of_range", field="occurred_at", message=message)
    if occurred_at > now + FURTHEST_AHEAD:
        message = "occurred_at is more than 24 hours in the future"
        return Flaw(code="out_of_range", field="occurred_at", message=message)
    if context is not None and len(context.encode()) > LARGEST_CONTEXT_BYTES:
        message = f"context is larger than {LARGEST_CONTEXT_BYTES} bytes"
        return Flaw(code="too_long", field="context", message=message)
    return None


def _nul_flaw(event: AnyEvent, context: str | None) -> Flaw | None:
    """PostgreSQL stores no U+0000."""
    texts = {
        "event_id": event.event_id,
        "customer_id": event.customer_id,
        "session_id": event.session_id,
        "product_id": event.product_id,
        "recommendation_id": event.recommendation_id,
    }
    holding = [field for field, text in texts.items() if text and "\0" in text]
    if context and "\\u0000" in context.replace("\\\\", ""):
        holding.append("context")
    if not holding:
        return None
    field = holding[0]
    return Flaw(code="malformed", field=field, message=f"{field} holds the character U+0000")
