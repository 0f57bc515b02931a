"""Who calls: from the Authorization header to a tenant and what its key may do."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from msgspec import Struct

from backend.auth import queries
from backend.auth.keys import hash_key
from backend.db import Pool
from backend.errors import AnyRequest, Forbidden, Unauthorized
from backend.tenancy import TenantId, key_connection

KEPT_S = 5.0
"""A revoked key works at most this much longer."""
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


class KnownKeys:
    """Keys proven within the last KEPT_S seconds, by hash; one per process."""

    def __init__(self) -> None:
        self._callers: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

    def get(self, key_hash: bytes) -> Caller | None:
        found = self._callers.get(key_hash)
        if found is None or time.monotonic() - found[0] > KEPT_S:
            return None
        return found[1]

    def put(self, key_hash: bytes, caller: Caller) -> None:
        self._callers[key_hash] = (time.monotonic(), caller)
        if len(self._callers) > KEPT_KEYS:
            self._callers.popitem(last=False)


async def identify(pool: Pool, known: KnownKeys, authorization: str | None) -> Caller:
    """Raise Unauthorized, in the same words, for a missing, malformed, unknown or revoked key."""
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith("ak_") or len(key) > LONGEST_KEY:
        raise Unauthorized("send an API key as `Authorization: Bearer ak_…`")
    key_hash = hash_key(key)
    caller = known.get(key_hash)
    if caller is None:
        async with key_connection(pool, key_hash) as conn:
            row = await queries.active_key(conn, key_hash)
        if row is None:
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


async def provide_caller(request: AnyRequest) -> Caller:
    """The caller whom a guard of `requires` has proven."""
    return request.scope["state"]["caller"]


def requires(scope: str) -> Guard:
    """Guard: the request carries a key with this scope."""

    async def guard(connection: ASGIConnection[Any, Any, Any, State], _: BaseRouteHandler) -> None:
        state = connection.app.state
        caller = await identify(
            state.pool, state.known_keys, connection.headers.get("authorization")
        )
        if scope not in caller.scopes:
            raise Forbidden(f"this key lacks the scope `{scope}`")
        connection.scope["state"]["caller"] = caller

    return guard
