"""A training as the terminal shows it."""

from io import StringIO

from rich.console import Console

from backend.cache import Redis
from backend.db import Pool
from backend.object_store import open_depot
from backend.settings import Settings
from backend.training.activation import receive_outcome
from backend.training.follow import follow, outcome
from backend.training.jobs import note_progress, request_training, start_training
from backend.training.schemas import TrainingOutcome
from tests.backend.training.conftest import FakeQueue, trains
from tests.conftest import Shop


async def ended(
    pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings, shop: Shop, failed: str | None
) -> tuple[str, str]:
    """What the terminal showed of a training, and the last sentence."""
    store, tenant_id = open_depot(settings), shop.tenant_id
    job_id = (await request_training(pool, queue, tenant_id, "test")).job_id
    await start_training(pool, queue, store, tenant_id, job_id)
    await note_progress(pool, tenant_id, job_id, "ranker", 0.5, {"auc": 0.71234})
    trains(settings, shop, job_id)
    told = TrainingOutcome(release_id=None if failed else job_id, failed=failed)
    await receive_outcome(pool, redis, store, tenant_id, job_id, told)
    screen = StringIO()
    job = await follow(pool, tenant_id, job_id, Console(file=screen, width=120))
    return screen.getvalue(), await outcome(pool, tenant_id, job)


async def test_the_stage_its_figures_and_the_verdict_are_shown(
    shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    screen, sentence = await ended(pool, redis, queue, settings, shop, failed=None)

    assert "ranker" in screen
    assert "auc 0.7123" in screen
    assert sentence.endswith("Own models serve: made by hand. It serves now.")


async def test_a_failure_is_told_in_words(
    shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    _, sentence = await ended(pool, redis, queue, settings, shop, failed="Only 12 purchases.")

    assert sentence == "The training failed: Only 12 purchases."
