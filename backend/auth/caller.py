"""Who calls: from the Authorization header to a tenant and what its key may do."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from msgspec import Struct, structs

from backend.auth import queries
from backend.auth.keys import hash_key
from backend.auth.limits import Limits
from backend.db import UNREACHABLE, Pool
from backend.errors import AnyRequest, Forbidden, Unauthorized, Unavailable
from backend.tenancy import TenantId, key_connection

KEPT_S = 5.0
"""A revoked key works at most this much longer."""
KEPT_WITHOUT_DATABASE_S = 3600.0
"""While PostgreSQL cannot be asked, a key proven within this time is still believed."""
DATABASE_PATIENCE_S = 2.0
KEPT_KEYS = 4096
LONGEST_KEY = 200


Guard = Callable[[ASGIConnection[Any, Any, Any, State], BaseRouteHandler], Awaitable[None]]


class Caller(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    key_id: str
    kind: str
    mode: str
    scopes: frozenset[str]
    origins: tuple[str, ...]


class KnownKey(Struct, frozen=True, kw_only=True):
    """`believed_at` moves on while PostgreSQL cannot be asked, `proven_at` does not."""

    caller: Caller
    proven_at: float
    believed_at: float


class KnownKeys:
    """Keys proven lately, by hash; one per process."""

    def __init__(self) -> None:
        self._keys: OrderedDict[bytes, KnownKey] = OrderedDict()

    def get(self, key_hash: bytes) -> Caller | None:
        found = self._keys.get(key_hash)
        if found is None or time.monotonic() - found.believed_at > KEPT_S:
            return None
        return found.caller

    def put(self, key_hash: bytes, caller: Caller) -> None:
        now = time.monotonic()
        self._keys[key_hash] = KnownKey(caller=caller, proven_at=now, believed_at=now)
        self._keys.move_to_end(key_hash)
        if len(self._keys) > KEPT_KEYS:
            self._keys.popitem(last=False)

    def forget(self, key_hash: bytes) -> None:
        self._keys.pop(key_hash, None)

    def believe(self, key_hash: bytes) -> Caller | None:
        """The caller as last proven, for another KEPT_S, when PostgreSQL cannot be asked."""
        found = self._keys.get(key_hash)
        now = time.monotonic()
        if found is None or now - found.proven_at > KEPT_WITHOUT_DATABASE_S:
            return None
        self._keys[key_hash] = structs.replace(found, believed_at=now)
        return found.caller


async def identify(pool: Pool, known: KnownKeys, authorization: str | None) -> Caller:
    """Raise Unauthorized, in the same words, for a missing, malformed, unknown or revoked key."""
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith("ak_") or len(key) > LONGEST_KEY:
        raise Unauthorized("send an API key as `Authorization: Bearer ak_…`")
    key_hash = hash_key(key)
    return known.get(key_hash) or await _prove(pool, known, key_hash)


async def _prove(pool: Pool, known: KnownKeys, key_hash: bytes) -> Caller:
    try:
        async with asyncio.timeout(DATABASE_PATIENCE_S), key_connection(pool, key_hash) as conn:
            row = await queries.active_key(conn, key_hash)
    except UNREACHABLE as error:
        believed = known.believe(key_hash)
        if believed is None:
            raise Unavailable("keys cannot be checked now", retry_after_s=5) from error
        return believed
    if row is None:
        known.forget(key_hash)
        raise Unauthorized("this API key is unknown or revoked")
    caller = Caller(
        tenant_id=TenantId(row.tenant_id),
        key_id=row.key_id,
        kind=row.kind,
        mode=row.mode,
        scopes=frozenset(row.scopes),
        origins=tuple(row.origins),
    )
    known.put(key_hash, caller)
    return caller


def caller_of(request: AnyRequest) -> Caller:
    """The caller whom a guard of `requires` has proven."""
    return request.scope["state"]["caller"]


async def provide_caller(request: AnyRequest) -> Caller:
    return caller_of(request)


def requires(scope: str) -> Guard:
    """Guard: the request carries a key with this scope, and the key's rate allows it."""

    async def guard(connection: ASGIConnection[Any, Any, Any, State], _: BaseRouteHandler) -> None:
        caller = await admit(connection, connection.headers.get("authorization"), scope)
        connection.scope["state"]["caller"] = caller

    return guard


async def admit(
    connection: ASGIConnection[Any, Any, Any, State], authorization: str | None, scope: str
) -> Caller:
    """Raise Unauthorized, Forbidden or TooManyRequests unless this key may call now."""
    state = connection.app.state
    caller = await identify(state.pool, state.known_keys, authorization)
    if scope not in caller.scopes:
        raise Forbidden(f"this key lacks the scope `{scope}`")
    origin = connection.headers.get("origin")
    if caller.origins and origin is not None and origin not in caller.origins:
        raise Forbidden("this key may not be used on this website")
    limits: Limits = state.limits
    await limits.take(caller.tenant_id, caller.key_id, scope)
    return caller
