"""The stored events of one shopper, page by page."""

from backend.cursor import next_cursor, position_of
from backend.db import Pool
from backend.errors import BadRequest
from backend.events import queries
from backend.events.queries import EventPosition
from backend.events.schemas import StoredEvents
from backend.tenancy import TenantId, tenant_connection


async def stored_events(
    pool: Pool,
    tenant_id: TenantId,
    customer_id: str | None,
    session_id: str | None,
    cursor: str | None,
    limit: int,
) -> StoredEvents:
    """Newest first. A session has the events that name no customer. Raises BadRequest."""
    before = position_of(cursor, EventPosition)
    async with tenant_connection(pool, tenant_id) as conn:
        if customer_id is not None and session_id is None:
            rows = await queries.events_before(conn, "customer", customer_id, before, limit + 1)
        elif session_id is not None and customer_id is None:
            rows = await queries.events_before(conn, "session", session_id, before, limit + 1)
        else:
            raise BadRequest("name either a customer_id or a session_id")
    return StoredEvents(
        items=rows[:limit],
        next_cursor=next_cursor(
            rows, limit, lambda row: EventPosition(row.occurred_at, row.event_id)
        ),
    )
