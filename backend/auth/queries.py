"""SQL of tenants and their API keys."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from backend.db import Connection, row_to, rows_to
from backend.tenancy import TenantId


class KeyRow(Struct, frozen=True, kw_only=True):
    key_id: str
    key_hash: bytes
    kind: str
    mode: str
    last_four: str
    scopes: list[str]
    origins: list[str]


class KeySummary(Struct, frozen=True, kw_only=True):
    """A key as far as it may be shown."""

    key_id: str
    kind: str
    mode: str
    last_four: str
    scopes: list[str]
    origins: list[str]
    created_at: datetime
    revoked_at: datetime | None


class ActiveKey(Struct, frozen=True, kw_only=True):
    tenant_id: UUID
    key_id: str
    kind: str
    mode: str
    scopes: list[str]
    origins: list[str]


class Tenant(Struct, frozen=True, kw_only=True):
    id: UUID
    slug: str
    name: str


async def insert_tenant(conn: Connection, slug: str, name: str) -> TenantId | None:
    """None when the slug is taken."""
    tenant_id = await conn.fetchval(
        """
        INSERT INTO tenant (slug, name) VALUES ($1, $2) ON CONFLICT (slug) DO NOTHING RETURNING id
        """,
        slug,
        name,
    )
    return None if tenant_id is None else TenantId(tenant_id)


async def tenants(conn: Connection) -> list[Tenant]:
    return rows_to(
        Tenant, await conn.fetch("SELECT id, slug, name FROM tenant ORDER BY created_at")
    )


async def tenant_by_slug(conn: Connection, slug: str) -> Tenant | None:
    record = await conn.fetchrow("SELECT id, slug, name FROM tenant WHERE slug = $1", slug)
    return row_to(Tenant, record)


async def lock_keys(conn: Connection) -> None:
    """Serialise key creation of this tenant until the transaction ends."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtext('api_key' || current_setting('app.tenant_id')))"
    )


async def count_active(conn: Connection, kind: str, mode: str) -> int:
    return await conn.fetchval(
        "SELECT count(*) FROM api_key WHERE kind = $1 AND mode = $2 AND revoked_at IS NULL",
        kind,
        mode,
    )


async def insert_key(conn: Connection, key: KeyRow) -> None:
    await conn.execute(
        """
        INSERT INTO api_key (key_id, key_hash, kind, mode, last_four, scopes, origins)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        key.key_id,
        key.key_hash,
        key.kind,
        key.mode,
        key.last_four,
        key.scopes,
        key.origins,
    )


async def keys(conn: Connection) -> list[KeySummary]:
    """Newest first."""
    records = await conn.fetch(
        """
        SELECT key_id, kind, mode, last_four, scopes, origins, created_at, revoked_at
        FROM api_key ORDER BY created_at DESC, key_id
        """
    )
    return rows_to(KeySummary, records)


async def revoke(conn: Connection, key_id: str) -> bool:
    status = await conn.execute(
        "UPDATE api_key SET revoked_at = coalesce(revoked_at, now()) WHERE key_id = $1", key_id
    )
    return status != "UPDATE 0"


async def active_key(conn: Connection, key_hash: bytes) -> ActiveKey | None:
    """The key with this hash; `conn` comes from `key_connection`."""
    record = await conn.fetchrow(
        """
        SELECT tenant_id, key_id, kind, mode, scopes, origins
        FROM api_key WHERE key_hash = $1 AND revoked_at IS NULL
        """,
        key_hash,
    )
    return row_to(ActiveKey, record)
