"""Queue tasks of recommending, on the CPU queue."""

from uuid import UUID

from celery import Celery

from backend.auth.queries import tenants
from backend.db import UNREACHABLE
from backend.queue import PRECOMPUTE
from backend.recommend.pipeline import open_recommender
from backend.recommend.precompute import EVERY_S, precompute
from backend.runtime import Clients, run
from backend.settings import Settings
from backend.tenancy import TenantId, directory_connection


def add_tasks(app: Celery, settings: Settings) -> None:
    """Every task may run twice."""

    @app.task(name=PRECOMPUTE, shared=False, expires=EVERY_S)
    def precompute_one(tenant_id: str) -> None:
        async def work(on: Clients) -> None:
            async with open_recommender(settings, on.pool, on.redis) as recommender:
                await precompute(recommender, TenantId(UUID(tenant_id)))

        run(settings, work)

    @app.task(name=f"{PRECOMPUTE}.all", shared=False, expires=EVERY_S, autoretry_for=UNREACHABLE)
    def precompute_all() -> None:
        async def work(on: Clients) -> None:
            async with directory_connection(on.pool) as conn:
                everyone = await tenants(conn)
            for tenant in everyone:
                app.send_task(PRECOMPUTE, [str(tenant.id)])

        run(settings, work)

    app.add_periodic_task(EVERY_S, precompute_all.s(), name=f"{PRECOMPUTE}.all")
