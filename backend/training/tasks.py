"""Queue tasks of training, on the CPU queue."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from celery import Celery

from backend.cache import Redis, open_redis
from backend.db import UNREACHABLE, Pool, open_pool
from backend.settings import Settings
from backend.tenancy import TenantId
from backend.training.activation import receive_outcome
from backend.training.jobs import note_progress, start_training
from backend.training.schedule import schedule_trainings
from backend.training.schemas import TrainingOutcome

SCHEDULE_EVERY_S = 60.0
RETRIES = 20
"""With a back-off of at most 10 minutes: PostgreSQL may be away for hours."""


class Clients(NamedTuple):
    pool: Pool
    redis: Redis


def run(settings: Settings, work: Callable[[Clients], Awaitable[object]]) -> None:
    """Clients are opened for one task: a worker forks, and connections do not survive that."""

    async def with_clients() -> None:
        pool = await open_pool(settings.app_database_url, 2)
        redis = open_redis(settings.redis_url)
        try:
            await work(Clients(pool, redis))
        finally:
            await redis.aclose()
            await pool.close()

    asyncio.run(with_clients())


def add_tasks(app: Celery, settings: Settings) -> None:
    """Every task may run twice; a lost worker's task runs again."""
    store = settings.object_store

    @app.task(
        name="training.start", autoretry_for=UNREACHABLE, retry_backoff=True, max_retries=RETRIES
    )
    def start(tenant_id: str, job_id: str) -> None:
        run(settings, lambda on: start_training(on.pool, app, store, tenant(tenant_id), job_id))

    @app.task(name="training.progress")
    def progress(
        tenant_id: str, job_id: str, stage: str, fraction: float, detail: dict[str, float]
    ) -> None:
        shop = tenant(tenant_id)
        run(settings, lambda on: note_progress(on.pool, shop, job_id, stage, fraction, detail))

    @app.task(
        name="training.receive", autoretry_for=UNREACHABLE, retry_backoff=True, max_retries=RETRIES
    )
    def receive(tenant_id: str, job_id: str, outcome: dict[str, Any]) -> None:
        told, shop = msgspec.convert(outcome, TrainingOutcome), tenant(tenant_id)
        run(settings, lambda on: receive_outcome(on.pool, on.redis, store, shop, job_id, told))

    @app.task(name="training.schedule", expires=SCHEDULE_EVERY_S)
    def schedule() -> None:
        run(settings, lambda on: schedule_trainings(on.pool, on.redis, app, store))

    app.add_periodic_task(SCHEDULE_EVERY_S, schedule.s(), name="training.schedule")


def tenant(tenant_id: str) -> TenantId:
    return TenantId(UUID(tenant_id))
