"""A POST with an `Idempotency-Key` takes effect once, however often it is sent within a day.

The answer is stored with the key. A refused or failed request changed nothing, so its key is
free again.
"""

import hashlib
import logging
from datetime import datetime
from typing import Any

from litestar import Response
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from backend.auth.caller import Caller
from backend.db import UNREACHABLE, Connection, Pool, row_to
from backend.errors import AnyRequest, BadRequest, Conflict
from backend.tenancy import TenantId, tenant_connection

logger = logging.getLogger(__name__)

LONGEST_KEY = 200
ABANDONED_AFTER_S = 300
"""A claim this old belongs to a process that died."""
READS_ITS_BODY = "reads_its_body"
"""Handlers with this `opt` read a body too large for memory, and call `claim` themselves."""
SAFE_TO_REPEAT = "safe_to_repeat"
"""Handlers with this `opt` go on while PostgreSQL is away: sent again, nothing counts twice."""


class KeyReused(Conflict):
    code = "idempotency_key_reused"


class InProgress(Conflict):
    code = "in_progress"


class AnsweredBefore(Exception):
    """Not an error: the stored answer is to be sent again."""

    def __init__(self, status: int, answer: bytes) -> None:
        super().__init__()
        self.status = status
        self.answer = answer


class Claim(Struct, frozen=True, kw_only=True):
    """The right to take effect under a key; `claimed_at` tells it from a later claim."""

    tenant_id: TenantId
    key: str
    claimed_at: datetime


class Known(Struct, frozen=True, kw_only=True):
    route: str
    body_hash: bytes
    status: int | None
    answer: bytes | None


async def claim_if_named(request: AnyRequest) -> None:
    """Hook before each handler; does nothing for requests without a key."""
    if request.method != "POST" or "idempotency-key" not in request.headers:
        return
    if not request.route_handler.opt.get(READS_ITS_BODY):
        await claim(request, hashlib.sha256(await request.body()).digest())


async def claim(request: AnyRequest, body_hash: bytes) -> None:
    """Claim the request's key, if it names one.

    Raises AnsweredBefore, KeyReused for another request under the key, or InProgress.
    """
    key = request.headers.get("idempotency-key")
    caller: Caller | None = request.scope["state"].get("caller")
    if key is None or caller is None:
        return
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
        raise BadRequest(f"Idempotency-Key must be 1 to {LONGEST_KEY} printable characters")
    route = f"{request.method} {request.url.path}?{request.url.query}"
    try:
        async with tenant_connection(request.app.state.pool, caller.tenant_id) as conn:
            claimed_at = await _insert(conn, key, route, body_hash)
            known = None if claimed_at else await _known(conn, key)
    except UNREACHABLE:
        if request.route_handler.opt.get(SAFE_TO_REPEAT):
            return
        raise
    if claimed_at is not None:
        request.scope["state"]["claim"] = Claim(
            tenant_id=caller.tenant_id, key=key, claimed_at=claimed_at
        )
        return
    raise _settled(known, route, body_hash)


def _settled(known: Known | None, route: str, body_hash: bytes) -> Exception:
    if known is not None and (known.route, known.body_hash) != (route, body_hash):
        return KeyReused("this Idempotency-Key came with another request before")
    if known is None or known.status is None:
        return InProgress("the first request with this key is not answered yet", retry_after_s=1)
    return AnsweredBefore(known.status, known.answer or b"")


def render_answered_before(_: AnyRequest, before: AnsweredBefore) -> Response[bytes]:
    return Response(
        before.answer,
        status_code=before.status,
        media_type="application/json",
        headers={"idempotency-replayed": "true"},
    )


def remembering(app: ASGIApp) -> ASGIApp:
    """Middleware: keeps the answer to a claimed request, or frees its key, before it is sent."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if not any(name == b"idempotency-key" for name, _ in scope["headers"]):
            await app(scope, receive, send)
            return
        status, body = 500, b""

        async def settle_and_send(message: Message) -> None:
            nonlocal status, body
            if message["type"] == "http.response.start":
                status = message["status"]
            if message["type"] == "http.response.body":
                body += message["body"]
                if not message.get("more_body", False):
                    await settle(scope, status, body)
            await send(message)

        try:
            await app(scope, receive, settle_and_send)
        finally:
            await settle(scope, 500, b"")  # nothing was answered: the caller went away

    return handle


async def settle(scope: Scope, status: int, body: bytes) -> None:
    """Only the first call does anything."""
    held: Claim | None = scope["state"].pop("claim", None)
    if held is None:
        return
    pool: Pool = scope["litestar_app"].state.pool
    try:
        async with tenant_connection(pool, held.tenant_id) as conn:
            if 200 <= status < 300:
                await _keep(conn, held, status, body)
            else:
                await _free(conn, held)
    except UNREACHABLE as error:
        logger.warning("an idempotency key stays claimed until it expires: %s", error)


async def forget_expired(conn: Connection) -> None:
    await conn.execute("DELETE FROM idempotency_key WHERE created_at < now() - interval '24 hours'")


async def _insert(conn: Connection, key: str, route: str, body_hash: bytes) -> datetime | None:
    """None when the key is taken."""
    return await conn.fetchval(
        """
        INSERT INTO idempotency_key AS known (key, route, body_hash) VALUES ($1, $2, $3)
        ON CONFLICT (tenant_id, key) DO UPDATE
        SET route = excluded.route, body_hash = excluded.body_hash, status = NULL, answer = NULL,
            created_at = now()
        WHERE known.created_at < now() - interval '24 hours'
           OR known.status IS NULL AND known.created_at < now() - make_interval(secs => $4)
        RETURNING created_at
        """,
        key,
        route,
        body_hash,
        ABANDONED_AFTER_S,
    )


async def _known(conn: Connection, key: str) -> Known | None:
    record: Any = await conn.fetchrow(
        "SELECT route, body_hash, status, answer FROM idempotency_key WHERE key = $1", key
    )
    return row_to(Known, record)


async def _keep(conn: Connection, held: Claim, status: int, answer: bytes) -> None:
    await conn.execute(
        "UPDATE idempotency_key SET status = $3, answer = $4 WHERE key = $1 AND created_at = $2",
        held.key,
        held.claimed_at,
        status,
        answer,
    )


async def _free(conn: Connection, held: Claim) -> None:
    await conn.execute(
        "DELETE FROM idempotency_key WHERE key = $1 AND created_at = $2", held.key, held.claimed_at
    )
