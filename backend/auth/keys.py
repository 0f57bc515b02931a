"""API keys: made once, stored as a hash, proven by presenting them."""

import hashlib
import secrets
from typing import Literal

from msgspec import Struct

from backend.auth import queries
from backend.db import Pool
from backend.errors import Conflict, NotFound
from backend.tenancy import TenantId, tenant_connection

KeyKind = Literal["pub", "sec"]
KeyMode = Literal["live", "test"]

LIVE_KEYS_PER_KIND = 2

SCOPES: dict[str, tuple[str, ...]] = {
    "pub": ("recommend", "collect"),
    "sec": ("recommend", "collect", "catalog", "events", "imports", "models"),
}


class NewKey(Struct, frozen=True, kw_only=True):
    """The only moment at which the key itself exists outside its owner's hands."""

    key_id: str
    key: str


def hash_key(key: str) -> bytes:
    """SHA-256; a key holds 256 random bits, so a slow hash would add nothing."""
    return hashlib.sha256(key.encode()).digest()


async def create_key(
    pool: Pool,
    tenant_id: TenantId,
    kind: KeyKind,
    mode: KeyMode = "live",
    origins: list[str] | None = None,
) -> NewKey:
    """Make a key. Two of a kind and mode may be active, so that one can replace the other.

    Raises Conflict when two are active already.
    """
    secret = secrets.token_urlsafe(32)
    key = f"ak_{mode}_{kind}_{secret}"
    key_id = f"key_{secrets.token_hex(8)}"
    async with tenant_connection(pool, tenant_id) as conn:
        await queries.lock_keys(conn)
        if await queries.count_active(conn, kind, mode) >= LIVE_KEYS_PER_KIND:
            raise Conflict(f"two {mode} {kind} keys are active; revoke one first")
        await queries.insert_key(
            conn,
            queries.KeyRow(
                key_id=key_id,
                key_hash=hash_key(key),
                kind=kind,
                mode=mode,
                last_four=key[-4:],
                scopes=list(SCOPES[kind]),
                origins=origins or [],
            ),
        )
    return NewKey(key_id=key_id, key=key)


async def list_keys(pool: Pool, tenant_id: TenantId) -> list[queries.KeySummary]:
    async with tenant_connection(pool, tenant_id) as conn:
        return await queries.keys(conn)


async def revoke_key(pool: Pool, tenant_id: TenantId, key_id: str) -> None:
    """Revoke a key; one revoked before stays revoked. Raises NotFound for an unknown id."""
    async with tenant_connection(pool, tenant_id) as conn:
        if not await queries.revoke(conn, key_id):
            raise NotFound(f"no key {key_id}")
