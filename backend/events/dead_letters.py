"""Dead letters: entries that could never be stored, kept for somebody to look at and retry."""

import logging
from uuid import UUID

import asyncpg
import msgspec
from msgspec import structs

from backend.cursor import next_cursor, position_of
from backend.db import Pool
from backend.errors import NotFound, Unprocessable
from backend.events import queries, stream
from backend.events.intake import Intake
from backend.events.queries import DeadLetterRow, LetterPosition
from backend.events.schemas import DeadLetter, DeadLetters, Retried
from backend.events.stream import Entry
from backend.tenancy import TenantId, drain_connection, tenant_connection

logger = logging.getLogger(__name__)

IDS_SHOWN = 20
PAGE = 50


async def bury(pool: Pool, entry: Entry, reason: str) -> None:
    """Keep an entry that can never be stored. One of a shop that is gone is dropped."""
    try:
        tenant_id = UUID(entry.tenant)
        async with drain_connection(pool) as conn:
            await queries.insert_dead_letter(
                conn, tenant_id, entry.entry_id, entry.payload, reason.replace("\0", "")
            )
    except (ValueError, asyncpg.ForeignKeyViolationError):
        logger.warning(
            "entry %s of no shop (%s) dropped with %d events: %s",
            entry.entry_id,
            entry.tenant,
            entry.size,
            reason,
        )
    else:
        logger.error("entry %s became a dead letter: %s", entry.entry_id, reason)


async def dead_letters(pool: Pool, tenant_id: TenantId, cursor: str | None) -> DeadLetters:
    """The newest first."""
    after = position_of(cursor, LetterPosition)
    async with tenant_connection(pool, tenant_id) as conn:
        rows = await queries.dead_letter_page(conn, after, PAGE + 1)
    return DeadLetters(
        items=[_shown(row) for row in rows[:PAGE]],
        next_cursor=next_cursor(
            rows, PAGE, lambda row: LetterPosition(row.failed_at, row.entry_id)
        ),
    )


async def retry(pool: Pool, intake: Intake, tenant_id: TenantId, entry_id: str) -> Retried:
    """Send the events on their way again. Raises NotFound, or Unprocessable for an unreadable one.

    Safe to repeat: an event counts once.
    """
    async with tenant_connection(pool, tenant_id) as conn:
        payload = await queries.dead_letter_payload(conn, entry_id)
        if payload is None:
            raise NotFound(f"there is no dead letter {entry_id}")
        try:
            batch = stream.decode(payload)
        except msgspec.DecodeError as error:
            raise Unprocessable("this dead letter cannot be read, so it cannot be sent") from error
        await intake.take(structs.replace(batch, tenant_id=tenant_id))
        await queries.delete_dead_letter(conn, entry_id)
    return Retried(entry_id=entry_id, events=len(batch.rows))


def _shown(row: DeadLetterRow) -> DeadLetter:
    try:
        event_ids = [event.event_id for event in stream.decode(row.payload).rows]
    except msgspec.DecodeError:
        event_ids = []
    return DeadLetter(
        entry_id=row.entry_id,
        reason=row.reason,
        failed_at=row.failed_at,
        events=len(event_ids),
        event_ids=event_ids[:IDS_SHOWN],
    )
