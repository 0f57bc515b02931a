"""The tenant boundary: the only place that knows how isolation works.

PostgreSQL shows and accepts rows of one tenant only (forced row-level security reading
`app.tenant_id`), Redis keys carry the tenant in front. Nothing else reaches tenant data.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import NewType
from uuid import UUID

from backend.db import Connection, Pool

TenantId = NewType("TenantId", UUID)


class UnsafeDatabaseRole(Exception):
    """The process connects with a role that could see past row-level security."""


@asynccontextmanager
async def tenant_connection(pool: Pool, tenant_id: TenantId) -> AsyncGenerator[Connection]:
    """Open a transaction in which PostgreSQL shows and accepts this tenant's rows only."""
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT set_config('app.tenant_id', $1, true)", str(tenant_id))
        yield conn


@asynccontextmanager
async def key_connection(pool: Pool, key_hash: bytes) -> AsyncGenerator[Connection]:
    """Open a transaction that sees the one API key with this hash, whoever's it is."""
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT set_config('app.key_hash', $1, true)", key_hash.hex())
        yield conn


@asynccontextmanager
async def directory_connection(pool: Pool) -> AsyncGenerator[Connection]:
    """Open a transaction that sees no tenant's data, only the list of tenants."""
    async with pool.acquire() as conn, conn.transaction():
        yield conn


@asynccontextmanager
async def drain_connection(pool: Pool) -> AsyncGenerator[Connection]:
    """Open a transaction of the drain's role, which adds events of every tenant and reads none."""
    async with pool.acquire() as conn, conn.transaction():
        yield conn


def tenant_key(tenant_id: TenantId, *parts: str) -> str:
    """Redis key of one tenant. Parts are escaped, so no two part lists share a key."""
    return ":".join([f"t:{tenant_id}", *map(_escaped, parts)])


def tenant_keys(tenant_id: TenantId, *parts: str) -> Callable[[str], str]:
    """`tenant_key` but for its last part, for where many keys differ in that alone."""
    start = tenant_key(tenant_id, *parts) + ":"
    return lambda last: start + _escaped(last)


def _escaped(part: str) -> str:
    if "%" in part or ":" in part:
        return part.replace("%", "%25").replace(":", "%3A")
    return part


async def refuse_unsafe_role(pool: Pool) -> None:
    """Raise UnsafeDatabaseRole when row-level security would not bind this process."""
    async with pool.acquire() as conn:
        record = await conn.fetchrow(
            """
            SELECT rolsuper OR rolbypassrls AS bypasses,
                   EXISTS (
                       SELECT 1 FROM pg_class
                       WHERE relrowsecurity AND pg_has_role(relowner, 'MEMBER')
                   ) AS owns,
                   rolname
            FROM pg_roles WHERE rolname = current_user
            """
        )
    if record is None or record["bypasses"] or record["owns"]:
        raise UnsafeDatabaseRole(
            "the database role must be neither superuser, nor BYPASSRLS, nor owner of tenant "
            "tables; use the login made by `aisle migrate`"
        )
