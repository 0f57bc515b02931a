"""Queue tasks of training, on the CPU queue."""

from typing import Any
from uuid import UUID

import msgspec
from celery import Celery

from backend.db import UNREACHABLE
from backend.queue import PRECOMPUTE
from backend.runtime import run
from backend.settings import Settings
from backend.tenancy import TenantId
from backend.training.activation import receive_outcome
from backend.training.jobs import note_progress, start_training
from backend.training.schedule import schedule_trainings
from backend.training.schemas import TrainingOutcome

SCHEDULE_EVERY_S = 60.0
RETRIES = 20
"""With a back-off of at most 10 minutes: PostgreSQL may be away for hours."""


def add_tasks(app: Celery, settings: Settings) -> None:
    """Every task may run twice; a lost worker's task runs again."""
    store = settings.object_store

    @app.task(
        name="training.start",
        shared=False,
        autoretry_for=UNREACHABLE,
        retry_backoff=True,
        max_retries=RETRIES,
    )
    def start(tenant_id: str, job_id: str) -> None:
        run(settings, lambda on: start_training(on.pool, app, store, tenant(tenant_id), job_id))

    @app.task(name="training.progress", shared=False)
    def progress(
        tenant_id: str, job_id: str, stage: str, fraction: float, detail: dict[str, float]
    ) -> None:
        shop = tenant(tenant_id)
        run(settings, lambda on: note_progress(on.pool, shop, job_id, stage, fraction, detail))

    @app.task(
        name="training.receive",
        shared=False,
        autoretry_for=UNREACHABLE,
        retry_backoff=True,
        max_retries=RETRIES,
    )
    def receive(tenant_id: str, job_id: str, outcome: dict[str, Any]) -> None:
        told, shop = msgspec.convert(outcome, TrainingOutcome), tenant(tenant_id)
        run(settings, lambda on: receive_outcome(on.pool, on.redis, store, shop, job_id, told))
        app.send_task(PRECOMPUTE, [tenant_id])

    @app.task(name="training.schedule", shared=False, expires=SCHEDULE_EVERY_S)
    def schedule() -> None:
        run(settings, lambda on: schedule_trainings(on.pool, on.redis, app, store))

    app.add_periodic_task(SCHEDULE_EVERY_S, schedule.s(), name="training.schedule")


def tenant(tenant_id: str) -> TenantId:
    return TenantId(UUID(tenant_id))
