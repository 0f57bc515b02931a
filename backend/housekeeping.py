"""What nobody needs any more is removed."""

from celery import Celery

from backend import idempotency
from backend.auth.queries import tenants
from backend.db import UNREACHABLE, Pool
from backend.runtime import run
from backend.settings import Settings
from backend.tenancy import TenantId, directory_connection, tenant_connection

TIDY_EVERY_S = 3600.0


async def tidy(pool: Pool) -> None:
    """Safe to repeat."""
    async with directory_connection(pool) as conn:
        everyone = await tenants(conn)
    for tenant in everyone:
        async with tenant_connection(pool, TenantId(tenant.id)) as conn:
            await idempotency.forget_expired(conn)


def add_tasks(app: Celery, settings: Settings) -> None:
    @app.task(name="housekeeping.tidy", expires=TIDY_EVERY_S, autoretry_for=UNREACHABLE)
    def tidy_task() -> None:
        run(settings, lambda on: tidy(on.pool))

    app.add_periodic_task(TIDY_EVERY_S, tidy_task.s(), name="housekeeping.tidy")
