"""Queue tasks of imports."""

from uuid import UUID

from celery import Celery

from backend.db import UNREACHABLE
from backend.imports.runs import RESUME_EVERY_S, RUN_TASK, resume_imports
from backend.imports.work import run_import
from backend.runtime import run
from backend.settings import Settings
from backend.tenancy import TenantId

RETRIES = 20


def add_tasks(app: Celery, settings: Settings) -> None:
    """Every task may run twice; a lost worker's task runs again."""
    store = settings.object_store

    @app.task(name=RUN_TASK, autoretry_for=UNREACHABLE, retry_backoff=True, max_retries=RETRIES)
    def run_import_task(tenant_id: str, import_id: str) -> None:
        shop = TenantId(UUID(tenant_id))
        run(settings, lambda on: run_import(on.pool, on.redis, store, shop, import_id))

    @app.task(name="imports.resume", expires=RESUME_EVERY_S)
    def resume() -> None:
        run(settings, lambda on: resume_imports(on.pool, app))

    del run_import_task
    app.add_periodic_task(RESUME_EVERY_S, resume.s(), name="imports.resume")
