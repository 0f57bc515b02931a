"""Which tenants are trained next, without anybody asking."""

import logging
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from redis import RedisError

from backend.auth.queries import tenants
from backend.cache import Redis
from backend.db import Pool
from backend.object_store import Depot
from backend.tenancy import TenantId, directory_connection, tenant_connection, tenant_key
from backend.training import queries
from backend.training.jobs import Queue, TrainingRunning, remove_dataset, request_training
from backend.training.queries import TrainingNeed

logger = logging.getLogger(__name__)

SILENT_S = 15 * 60
WAITING_S = 2 * 3600
BETWEEN_CHECKS_S = 10 * 60
"""Counting a large shop's events each minute would cost more than it tells."""
MOST_AT_A_TIME = 4
"""Jobs in flight over all tenants; the rest wait here, where the order is fair."""

MANY_EVENTS, GROWTH = 1_000, 0.05
FEW_EVENTS, OLD = 100, timedelta(hours=24)

SCHEDULE, RETRY = "schedule", "retry"
LOST = "The trainer stopped answering."
NEVER_TAKEN = "No trainer took the job within 2 hours; is one running?"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Due(NamedTuple):
    """Sorts by how long ago the tenant was trained."""

    last_created_at: datetime
    tenant_id: TenantId
    why: str


async def schedule_trainings(
    pool: Pool,
    redis: Redis,
    queue: Queue,
    depot: Depot,
    most_at_a_time: int = MOST_AT_A_TIME,
) -> list[TenantId]:
    """Give up lost jobs, then queue the tenants that need it; gives those queued."""
    async with directory_connection(pool) as conn:
        everyone = [TenantId(tenant.id) for tenant in await tenants(conn)]
    running = 0
    due: list[Due] = []
    for tenant_id in everyone:
        await give_up_lost(pool, depot, tenant_id)
        async with tenant_connection(pool, tenant_id) as conn:
            if await queries.is_training(conn):
                running += 1
                continue
        need = await training_need(pool, redis, tenant_id)
        why = need and reason_to_train(need, datetime.now(UTC))
        if need and why:
            due.append(Due(need.last_created_at or LONG_AGO, tenant_id, why))
    queued: list[TenantId] = []
    for chosen in fairest(due, most_at_a_time - running):
        try:
            await request_training(pool, queue, chosen.tenant_id, chosen.why)
        except TrainingRunning:
            continue  # somebody asked for it in the meantime
        queued.append(chosen.tenant_id)
    return queued


def fairest(due: list[Due], places: int) -> list[Due]:
    """Least recently trained first; the rest waits for the next time."""
    return sorted(due)[: max(0, places)]


async def give_up_lost(pool: Pool, depot: Depot, tenant_id: TenantId) -> None:
    async with tenant_connection(pool, tenant_id) as conn:
        lost = await queries.lost_jobs(conn, SILENT_S, WAITING_S)
        for job in lost:
            reason = NEVER_TAKEN if job.heartbeat_at is None else LOST
            await queries.finish_job(conn, job.job_id, "failed", reason, None)
    for job in lost:
        logger.warning("training job %s was given up", job.job_id)
        remove_dataset(depot, tenant_id, job.job_id)


def checked(tenant_id: TenantId) -> str:
    """While this key is there, nobody looks whether the tenant is due."""
    return tenant_key(tenant_id, "training", "checked")


async def training_need(pool: Pool, redis: Redis, tenant_id: TenantId) -> TrainingNeed | None:
    """None when it was looked at a moment ago."""
    name = checked(tenant_id)
    try:
        if not await redis.set(name, 1, nx=True, ex=BETWEEN_CHECKS_S):
            return None
    except (RedisError, OSError):
        return None  # without Redis nothing can be queued either
    async with tenant_connection(pool, tenant_id) as conn:
        return await queries.training_need(conn)


def reason_to_train(need: TrainingNeed, now: datetime) -> str | None:
    """Who asks for a training now: the schedule, one retry of a lost job, or nobody."""
    was_lost = need.last_state == "failed" and need.last_reason in {LOST, NEVER_TAKEN}
    if was_lost and need.last_requested_by != RETRY:
        return RETRY
    new_events = need.events - need.last_events
    grown = new_events >= max(MANY_EVENTS, GROWTH * need.last_events)
    old = need.last_created_at is None or now - need.last_created_at >= OLD
    return SCHEDULE if grown or (old and new_events >= FEW_EVENTS) else None
