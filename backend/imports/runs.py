"""Start imports, follow them, and pick up those that nobody works on."""

import asyncio
import logging

from celery import Celery
from kombu.exceptions import OperationalError
from msgspec import Struct

from backend.auth.queries import tenants
from backend.cursor import next_cursor, position_of
from backend.db import Pool
from backend.errors import NotFound, Unprocessable
from backend.imports import queries
from backend.imports.queries import NewImport
from backend.imports.schemas import ImportErrors, ImportList, ImportRun, Kind, Mode, RowError
from backend.queue import CPU_QUEUE
from backend.tenancy import TenantId, directory_connection, tenant_connection

logger = logging.getLogger(__name__)

RUN_TASK = "imports.run"
RESUME_EVERY_S = 60.0
"""Also the age at which an import that nobody works on is sent to the workers again."""


class BeforeImport(Struct, frozen=True, array_like=True):
    import_id: str


class AfterError(Struct, frozen=True, array_like=True):
    position: int


def refuse_mode(kind: Kind, mode: Mode) -> None:
    """Raises Unprocessable."""
    if mode == "full" and kind != "products":
        raise Unprocessable(f"mode=full is for products: {kind} are only ever added")


async def start_import(pool: Pool, queue: Celery, tenant_id: TenantId, new: NewImport) -> ImportRun:
    """Its file is in place already."""
    async with tenant_connection(pool, tenant_id) as conn:
        run = await queries.insert_import(conn, new)
    if run is None:
        raise NotFound(f"no import {new.import_id}")
    # Celery's client blocks; the web process must not.
    await asyncio.to_thread(enqueue, queue, tenant_id, new.import_id)
    return run


def enqueue(queue: Celery, tenant_id: TenantId, import_id: str) -> None:
    """Without a broker the import waits until `resume_imports` finds it."""
    try:
        queue.send_task(
            RUN_TASK, kwargs={"tenant_id": str(tenant_id), "import_id": import_id}, queue=CPU_QUEUE
        )
    except OperationalError as error:
        logger.warning("import %s waits for the queue: %s", import_id, error)


async def resume_imports(
    pool: Pool, queue: Celery, older_than_s: float = RESUME_EVERY_S
) -> list[str]:
    """Send imports to the workers that were cut off or never sent. Safe to repeat."""
    resumed: list[str] = []
    async with directory_connection(pool) as conn:
        everyone = [TenantId(tenant.id) for tenant in await tenants(conn)]
    for tenant_id in everyone:
        async with tenant_connection(pool, tenant_id) as conn:
            waiting = await queries.unattended(conn, older_than_s)
        for import_id in waiting:
            enqueue(queue, tenant_id, import_id)
        resumed += waiting
    return resumed


async def read_import(pool: Pool, tenant_id: TenantId, import_id: str) -> ImportRun:
    async with tenant_connection(pool, tenant_id) as conn:
        run = await queries.import_run(conn, import_id)
    if run is None:
        raise NotFound(f"no import {import_id}")
    return run


async def list_imports(
    pool: Pool, tenant_id: TenantId, cursor: str | None, limit: int
) -> ImportList:
    before = position_of(cursor, BeforeImport)
    async with tenant_connection(pool, tenant_id) as conn:
        runs = await queries.imports_before(conn, before and before.import_id, limit + 1)
    following = next_cursor(runs, limit, lambda run: BeforeImport(run.import_id))
    return ImportList(imports=runs[:limit], next_cursor=following)


async def list_errors(
    pool: Pool, tenant_id: TenantId, import_id: str, cursor: str | None, limit: int
) -> ImportErrors:
    after = position_of(cursor, AfterError)
    async with tenant_connection(pool, tenant_id) as conn:
        if await queries.import_run(conn, import_id) is None:
            raise NotFound(f"no import {import_id}")
        rows = await queries.errors_after(
            conn, import_id, after.position if after else -1, limit + 1
        )
    errors = [
        RowError(row_number=row.row_number, field=row.field, code=row.code, message=row.message)
        for row in rows[:limit]
    ]
    following = next_cursor(rows, limit, lambda row: AfterError(row.position))
    return ImportErrors(errors=errors, next_cursor=following)
