"""Carry out one import: everything of it or nothing."""

import asyncio
import logging
import time
from pathlib import Path

from redis import RedisError

from backend.cache import Redis
from backend.catalog.revision import announce_change
from backend.db import UNREACHABLE, Connection, Pool
from backend.events.recent import revision_key
from backend.imports import queries
from backend.imports.chunks import Chunk, OpenFile, open_file
from backend.imports.rows import UnreadableFile
from backend.imports.schemas import Counts, ImportRun, RowError
from backend.imports.uploads import import_path
from backend.imports.writers import RemovalRefused, Writer, writer_of
from backend.tenancy import TenantId, tenant_connection

logger = logging.getLogger(__name__)

KEPT_ERRORS = 1000
REPORT_EVERY_S = 0.5
STORED_SHARE = 0.95
"""Progress when the last row was read: merging comes after."""


class DryRunOver(Exception):
    """Rolls back what a dry run wrote."""


async def run_import(
    pool: Pool, redis: Redis, object_store: Path, tenant_id: TenantId, import_id: str
) -> None:
    """Safe to repeat: one that was cut off starts over, one that has ended stays as it is.

    Raises UNREACHABLE when PostgreSQL goes away; then nothing has ended.
    """
    path = import_path(object_store, tenant_id, import_id)
    try:
        kept = await attempt(pool, tenant_id, import_id, path)
    except (UnreadableFile, RemovalRefused) as refusal:
        await end(pool, tenant_id, import_id, "failed", str(refusal))
    except FileNotFoundError:
        await end(pool, tenant_id, import_id, "failed", "the file is gone: send it again")
    except UNREACHABLE:
        raise
    except Exception:
        # Whatever it is, tried again it would fail again.
        logger.exception("import %s failed", import_id)
        await end(pool, tenant_id, import_id, "failed", "something failed on our side")
    else:
        if kept:
            await announce(redis, tenant_id, kept)
    path.unlink(missing_ok=True)


async def attempt(pool: Pool, tenant_id: TenantId, import_id: str, path: Path) -> ImportRun | None:
    """None when nothing was kept: it had ended before, or it was a dry run."""
    try:
        async with tenant_connection(pool, tenant_id) as conn:
            await queries.wait_for_turn(conn, import_id)
            async with tenant_connection(pool, tenant_id) as books:
                run = await queries.begin(books, import_id)
            if run is None:
                return None
            await carry_out(conn, tenant_id, run, path, Report(pool, tenant_id, import_id))
            await queries.finish(conn, import_id, "succeeded", None)
            if run.dry_run:
                raise DryRunOver
    except DryRunOver:
        await end(pool, tenant_id, import_id, "succeeded", None)
        return None
    return run


async def carry_out(
    conn: Connection, tenant_id: TenantId, run: ImportRun, path: Path, report: "Report"
) -> None:
    """Raises UnreadableFile or RemovalRefused."""
    writer = writer_of(run.kind, tenant_id, run)
    await writer.prepare(conn)
    with open_file(path, run) as file:
        await store_all(conn, file, writer, report)
        if not file.rows_read:
            raise UnreadableFile("the file has no rows of data")
        await writer.finish(conn)
        await report.send(STORED_SHARE, writer, file.warnings)


async def store_all(conn: Connection, file: OpenFile, writer: Writer, report: "Report") -> None:
    """The next chunk is read in a thread while PostgreSQL takes the last one."""
    reading = asyncio.create_task(asyncio.to_thread(file.next_chunk))
    try:
        while chunk := await reading:
            reading = asyncio.create_task(asyncio.to_thread(file.next_chunk))
            await writer.add(conn, chunk.rows, chunk.rejected_ids)
            report.count(chunk)
            if report.is_due():
                await report.send(STORED_SHARE * chunk.progress, writer, file.warnings)
    finally:
        # The file closes next, so nobody may be reading it.
        await asyncio.gather(reading, return_exceptions=True)


class Report:
    """Tells through a connection of its own how far an import is, before anything is kept."""

    def __init__(self, pool: Pool, tenant_id: TenantId, import_id: str) -> None:
        self._pool = pool
        self._tenant_id = tenant_id
        self._import_id = import_id
        self._accepted = 0
        self._rejected = 0
        self._kept = 0
        self._unsent: list[RowError] = []
        self._due_at_s = time.monotonic() + REPORT_EVERY_S

    def count(self, chunk: Chunk) -> None:
        self._accepted += len(chunk.rows)
        self._rejected += len(chunk.errors)
        room = KEPT_ERRORS - self._kept - len(self._unsent)
        self._unsent += chunk.errors[:room]

    def is_due(self) -> bool:
        return time.monotonic() >= self._due_at_s

    async def send(self, progress: float, writer: Writer, warnings: list[str]) -> None:
        counts = Counts(
            read=self._accepted + self._rejected,
            accepted=self._accepted,
            written=writer.written,
            rejected=self._rejected,
            removed=writer.removed,
        )
        async with tenant_connection(self._pool, self._tenant_id) as books:
            await queries.note_progress(books, self._import_id, progress, counts, warnings)
            await queries.insert_errors(books, self._import_id, self._kept, self._unsent)
        self._kept += len(self._unsent)
        self._unsent = []
        self._due_at_s = time.monotonic() + REPORT_EVERY_S


async def end(
    pool: Pool, tenant_id: TenantId, import_id: str, state: str, reason: str | None
) -> None:
    async with tenant_connection(pool, tenant_id) as conn:
        await queries.finish(conn, import_id, state, reason)


async def announce(redis: Redis, tenant_id: TenantId, run: ImportRun) -> None:
    """Readers of what was imported look again."""
    if run.kind == "products":
        await announce_change(redis, tenant_id)
    if run.kind in {"events", "customers"}:
        try:
            await redis.incr(revision_key(tenant_id))
        except (RedisError, OSError) as error:
            logger.warning("an import of %s could not be announced: %s", run.kind, error)
