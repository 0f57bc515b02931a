"""Where an import's rows go: one writer per kind of row, all in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from backend.catalog import import_queries
from backend.db import Connection
from backend.events.queries import insert_events
from backend.events.schemas import EventBatch
from backend.imports.schemas import ImportRun, Kind
from backend.tenancy import TenantId

LARGEST_SHARE_REMOVED = 0.5


class RemovalRefused(Exception):
    """A full import would take out more than can be meant."""


class Writer(Protocol):
    """`written` and `removed` count rows; all of them are right after `finish`."""

    written: int
    removed: int

    async def prepare(self, conn: Connection) -> None: ...

    async def add(
        self, conn: Connection, rows: Sequence[Any], rejected_ids: Sequence[str]
    ) -> None: ...

    async def finish(self, conn: Connection) -> None: ...


class ProductWriter:
    def __init__(self, run: ImportRun) -> None:
        self._run = run
        self._accepted = 0
        self.written = 0
        self.removed = 0

    async def prepare(self, conn: Connection) -> None:
        await import_queries.prepare_products(conn)

    async def add(self, conn: Connection, rows: Sequence[Any], rejected_ids: Sequence[str]) -> None:
        await import_queries.gather(conn, rows)
        await import_queries.remember_unreadable(conn, rejected_ids)
        self._accepted += len(rows)

    async def finish(self, conn: Connection) -> None:
        """Raises RemovalRefused."""
        if self._run.mode == "full":
            await self._refuse_too_much(conn)
        self.written = await import_queries.merge_products(conn)
        if self._run.mode == "full":
            self.removed = await import_queries.remove_absent(conn, self._run.created_at)

    async def _refuse_too_much(self, conn: Connection) -> None:
        if self._run.allow_removal:
            return
        found = await import_queries.vanishing(conn, self._run.created_at)
        if not self._accepted or found.absent > LARGEST_SHARE_REMOVED * found.live:
            raise RemovalRefused(
                f"{found.absent} of {found.live} products are not in the file and would be "
                "removed; send it with allow_removal=true if that is meant"
            )


class CustomerWriter:
    def __init__(self) -> None:
        self.written = 0
        self.removed = 0

    async def prepare(self, conn: Connection) -> None:
        await import_queries.prepare_customers(conn)

    async def add(self, conn: Connection, rows: Sequence[Any], rejected_ids: Sequence[str]) -> None:
        del rejected_ids
        await import_queries.gather(conn, rows)

    async def finish(self, conn: Connection) -> None:
        self.written = await import_queries.merge_customers(conn)


class EventWriter:
    def __init__(self, tenant_id: TenantId, received_at: datetime) -> None:
        self._tenant_id = tenant_id
        self._received_at = received_at
        self.written = 0
        self.removed = 0

    async def prepare(self, conn: Connection) -> None:
        """Events go straight into their table."""

    async def add(self, conn: Connection, rows: Sequence[Any], rejected_ids: Sequence[str]) -> None:
        del rejected_ids
        if rows:
            batch = EventBatch(
                tenant_id=self._tenant_id, received_at=self._received_at, rows=list(rows)
            )
            self.written += await insert_events(conn, [batch])

    async def finish(self, conn: Connection) -> None:
        """Nothing is left to do."""


def writer_of(kind: Kind, tenant_id: TenantId, run: ImportRun) -> Writer:
    if kind == "products":
        return ProductWriter(run)
    if kind == "customers":
        return CustomerWriter()
    return EventWriter(tenant_id, run.created_at)
