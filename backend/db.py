"""PostgreSQL: the pool, and rows as Structs."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import msgspec

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection

UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a server killed in mid-answer leaves asyncpg in a wrong state
)
"""PostgreSQL is down, starting, stopping or full: the same statement may succeed later."""

Row = TypeVar("Row", bound=msgspec.Struct)


async def open_pool(url: str, size: int) -> Pool:
    """Open a pool whose connections decode jsonb to Python and count time in UTC."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        init=_prepare,
        command_timeout=60,
        server_settings={"timezone": "UTC", "application_name": "aisle"},
    )


async def _prepare(conn: Connection) -> None:
    await conn.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: msgspec.json.encode(value).decode(),
        decoder=msgspec.json.decode,
    )


def rows_to(row: type[Row], records: Iterable[asyncpg.Record]) -> list[Row]:
    """Records whose columns are named like the fields of `row`."""
    return [msgspec.convert(dict(record), row) for record in records]


def row_to(row: type[Row], record: asyncpg.Record | None) -> Row | None:
    return None if record is None else msgspec.convert(dict(record), row)
