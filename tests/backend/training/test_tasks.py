"""The tasks as a trainer calls them: by name, with what JSON carries."""

import asyncio

import pytest
from celery import Celery

from backend.queue import open_queue
from backend.settings import Settings
from backend.training.tasks import add_tasks
from tests.backend.training.conftest import trains
from tests.conftest import Shop


@pytest.fixture
def worker(settings: Settings) -> Celery:
    queue = open_queue(settings.redis_url)
    add_tasks(queue, settings)
    return queue


async def work(worker: Celery, name: str, *args: object) -> None:
    """As a worker process runs it, outside this test's event loop."""
    await asyncio.to_thread(worker.tasks[name].run, *args)


async def test_a_training_goes_from_the_queue_to_a_release_in_service(
    shop: Shop, worker: Celery, settings: Settings
) -> None:
    await shop.has_products({"product_id": "p00"})
    job_id = (await shop.post("/v1/models/train", None)).json()["job_id"]
    tenant_id = str(shop.tenant_id)

    await work(worker, "training.start", tenant_id, job_id)
    await work(worker, "training.progress", tenant_id, job_id, "ranker", 0.5, {"auc": 0.7})
    halfway = (await shop.get(f"/v1/models/jobs/{job_id}")).json()
    trains(settings, shop, job_id)
    outcome = {"release_id": job_id, "champion": "own-models", "passed": True, "metrics": {}}
    await work(worker, "training.receive", tenant_id, job_id, outcome)

    assert (halfway["state"], halfway["stage"], halfway["detail"]) == (
        "training",
        "ranker",
        {"auc": 0.7},
    )
    model = (await shop.get("/v1/models")).json()["models"][0]
    assert (model["release_id"], model["serving"]) == (job_id, True)


async def test_the_schedule_is_a_task_of_beat(worker: Celery) -> None:
    assert "training.schedule" in worker.tasks
    worker.finalize()
    assert "training.schedule" in worker.conf.beat_schedule
