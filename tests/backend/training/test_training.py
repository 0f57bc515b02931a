"""A training from the request to the release in service."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import convert

from backend.cache import Redis
from backend.db import Pool
from backend.object_store import open_depot
from backend.settings import Settings
from backend.tenancy import tenant_connection
from backend.training.activation import receive_outcome
from backend.training.jobs import dataset_folder, note_progress, request_training, start_training
from backend.training.schedule import LOST, NEVER_TAKEN, schedule_trainings
from backend.training.schemas import TrainingOutcome
from ml.dataset import read_dataset
from tests.backend.training.conftest import FakeQueue, trains
from tests.conftest import Shop
from tests.ml.hostile import HOSTILE


async def queued(pool: Pool, queue: FakeQueue, shop: Shop) -> str:
    return (await request_training(pool, queue, shop.tenant_id, "test")).job_id


async def started(pool: Pool, queue: FakeQueue, settings: Settings, shop: Shop) -> str:
    job_id = await queued(pool, queue, shop)
    await start_training(pool, queue, open_depot(settings), shop.tenant_id, job_id)
    return job_id


async def job(shop: Shop, job_id: str) -> dict[str, Any]:
    return (await shop.get(f"/v1/models/jobs/{job_id}")).json()


async def receive(
    pool: Pool, redis: Redis, settings: Settings, shop: Shop, job_id: str, **outcome: object
) -> None:
    told = convert(outcome, TrainingOutcome)
    await receive_outcome(pool, redis, open_depot(settings), shop.tenant_id, job_id, told)


async def serving(shop: Shop) -> list[str]:
    models = (await shop.get("/v1/models")).json()["models"]
    return [model["release_id"] for model in models if model["serving"]]


async def test_one_training_runs_at_a_time(shop: Shop) -> None:
    first = await shop.post("/v1/models/train", None)
    second = await shop.post("/v1/models/train", None)

    assert (first.status_code, first.json()["state"]) == (202, "queued")
    assert (second.status_code, second.json()["code"]) == (409, "training_running")
    listed = (await shop.get("/v1/models/jobs")).json()["jobs"]
    assert [entry["job_id"] for entry in listed] == [first.json()["job_id"]]


async def test_a_storefront_key_trains_nothing(shop: Shop, anyone: httpx.AsyncClient) -> None:
    assert (await shop.storefront.post("/v1/models/train")).status_code == 403
    assert (await anyone.get("/v1/models")).status_code == 401


async def test_another_shops_job_is_not_there(shop: Shop, other_shop: Shop) -> None:
    job_id = (await shop.post("/v1/models/train", None)).json()["job_id"]

    answer = await other_shop.get(f"/v1/models/jobs/{job_id}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_trainer_gets_the_shops_data_in_the_import_format(
    shop: Shop, other_shop: Shop, pool: Pool, queue: FakeQueue, settings: Settings
) -> None:
    await shop.has_products({"product_id": "p1", "markets": ["DE"], "category": "a > b"})
    await other_shop.has_products({"product_id": "theirs"})
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute("INSERT INTO customer (customer_id, country) VALUES ('ann', 'DE')")
        await conn.execute(
            """
            INSERT INTO event (tenant_id, event_id, type, customer_id, product_id, occurred_at)
            SELECT current_setting('app.tenant_id')::uuid, 'e' || n, 'view', 'ann', 'p1',
                   '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second'
            FROM generate_series(1, 25000) AS n
            """
        )

    job_id = await started(pool, queue, settings, shop)

    sent = queue.sent[-1]
    assert (sent.name, sent.queue) == ("ml.train", "train")
    assert sent.kwargs["parent_release"] is None
    dataset = read_dataset(Path(sent.kwargs["dataset"] or ""))
    assert dataset.products["product_id"].to_pylist() == ["p1"]
    assert dataset.products["markets"].to_pylist() == [["DE"]]
    assert dataset.customers.to_pylist()[0]["country"] == "DE"
    assert len(dataset.events) == 25_000
    assert (await job(shop, job_id))["stage"] == "waiting for a trainer"


async def test_what_a_shop_wants_more_of_reaches_the_trainer_and_is_kept_for_later(
    shop: Shop, other_shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    first = (await shop.post("/v1/models/train", {"objective": "net-revenue"})).json()
    await start_training(pool, queue, open_depot(settings), shop.tenant_id, first["job_id"])
    await receive(pool, redis, settings, shop, first["job_id"], failed="no")
    second = (await shop.post("/v1/models/train", None)).json()
    theirs = (await other_shop.post("/v1/models/train", None)).json()

    assert queue.sent[-1].kwargs["objective"] == "net-revenue"
    assert (await job(shop, first["job_id"]))["objective"] == "net-revenue"
    assert (second["objective"], theirs["objective"]) == ("net-revenue", "auto")


async def test_a_wish_that_could_not_be_queued_is_not_kept(
    shop: Shop, pool: Pool, redis: Redis, settings: Settings
) -> None:
    running = (await shop.post("/v1/models/train", None)).json()
    refused = await shop.post("/v1/models/train", {"objective": "click"})
    await receive(pool, redis, settings, shop, running["job_id"], failed="no")
    later = (await shop.post("/v1/models/train", None)).json()

    assert refused.status_code == 409
    assert later["objective"] == "auto"


async def test_an_unknown_wish_is_refused(shop: Shop) -> None:
    answer = await shop.post("/v1/models/train", {"objective": "fame"})

    assert answer.status_code == 400
    assert "objective" in answer.text


async def test_starting_twice_sends_one_job(
    shop: Shop, pool: Pool, queue: FakeQueue, settings: Settings
) -> None:
    job_id = await started(pool, queue, settings, shop)
    await start_training(pool, queue, open_depot(settings), shop.tenant_id, job_id)

    assert [sent.name for sent in queue.sent] == ["training.start", "ml.train"]


async def test_progress_is_shown_as_it_arrives(
    shop: Shop, pool: Pool, queue: FakeQueue, settings: Settings
) -> None:
    job_id = await started(pool, queue, settings, shop)
    await note_progress(pool, shop.tenant_id, job_id, "two-tower", 0.4, {"loss": 1.25})

    shown = await job(shop, job_id)

    assert (shown["stage"], shown["detail"]) == ("two-tower", {"loss": 1.25})
    assert shown["progress"] == pytest.approx(0.4)
    assert shown["heartbeat_at"] is not None


async def test_a_finished_release_serves_and_its_data_is_removed(
    shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    job_id = await started(pool, queue, settings, shop)
    trains(settings, shop, job_id)

    await receive(pool, redis, settings, shop, job_id, release_id=job_id)

    model = (await shop.get("/v1/models")).json()["models"][0]
    assert (model["release_id"], model["serving"], model["passed"]) == (job_id, True, True)
    assert model["verdict"] == "Own models serve: made by hand."
    assert (await job(shop, job_id))["state"] == "succeeded"
    assert not dataset_folder(open_depot(settings), shop.tenant_id, job_id).exists()


async def test_an_answer_that_comes_twice_counts_once(
    shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    first = await started(pool, queue, settings, shop)
    trains(settings, shop, first)
    await receive(pool, redis, settings, shop, first, release_id=first)
    second = await started(pool, queue, settings, shop)
    trains(settings, shop, second)
    await receive(pool, redis, settings, shop, second, release_id=second)

    await receive(pool, redis, settings, shop, first, release_id=first)

    assert await serving(shop) == [second]


async def test_a_job_that_was_given_up_changes_nothing_any_more(
    shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    job_id = await started(pool, queue, settings, shop)
    await receive(pool, redis, settings, shop, job_id, failed="gone")
    trains(settings, shop, job_id)

    await receive(pool, redis, settings, shop, job_id, release_id=job_id)

    assert await serving(shop) == []
    assert (await job(shop, job_id))["state"] == "failed"


async def test_a_damaged_release_is_refused_with_the_reason(
    shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    job_id = await started(pool, queue, settings, shop)
    (trains(settings, shop, job_id) / "items.msgpack").write_bytes(b"tampered")

    await receive(pool, redis, settings, shop, job_id, release_id=job_id)

    shown = await job(shop, job_id)
    assert shown["state"] == "failed"
    assert "items.msgpack" in shown["reason"]
    assert await serving(shop) == []


async def test_a_release_made_for_another_shop_is_refused(
    shop: Shop, other_shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    job_id = await started(pool, queue, settings, shop)
    trained = trains(settings, other_shop, job_id)
    ours = settings.object_store / "releases" / str(shop.tenant_id)
    ours.mkdir(parents=True)
    trained.rename(ours / job_id)

    await receive(pool, redis, settings, shop, job_id, release_id=job_id)

    assert "another shop" in (await job(shop, job_id))["reason"]


async def test_a_reason_of_failure_reaches_the_merchant(
    shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    job_id = await started(pool, queue, settings, shop)
    reason = "Only 212 purchases: at least 300 are needed."

    await receive(pool, redis, settings, shop, job_id, failed=reason)

    assert (await job(shop, job_id))["reason"] == reason


async def test_a_release_that_must_not_serve_is_listed_only(
    shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    job_id = await started(pool, queue, settings, shop)
    trains(settings, shop, job_id)

    await receive(pool, redis, settings, shop, job_id, release_id=job_id, serve=False)

    assert await serving(shop) == []
    assert len((await shop.get("/v1/models")).json()["models"]) == 1


async def test_promoting_and_rolling_back_move_the_pointer(
    shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    made: list[str] = []
    for _ in range(2):
        made.append(await started(pool, queue, settings, shop))
        trains(settings, shop, made[-1])
        await receive(pool, redis, settings, shop, made[-1], release_id=made[-1])
    old, new = made
    assert await serving(shop) == [new]

    assert (await shop.post("/v1/models/rollback", None)).json()["release_id"] == old
    assert await serving(shop) == [old]
    promoted = await shop.post(f"/v1/models/{new}/promote", None)
    assert promoted.json() == {"release_id": new, "previous_release_id": old}
    again = await shop.post(f"/v1/models/{new}/promote", None)
    assert again.json() == {"release_id": new, "previous_release_id": old}


async def test_nothing_is_promoted_that_is_not_there_or_is_broken(
    shop: Shop, pool: Pool, redis: Redis, queue: FakeQueue, settings: Settings
) -> None:
    job_id = await started(pool, queue, settings, shop)
    folder = trains(settings, shop, job_id)
    await receive(pool, redis, settings, shop, job_id, release_id=job_id, serve=False)
    (folder / "items.msgpack").unlink()

    assert (await shop.post("/v1/models/unknown/promote", None)).status_code == 404
    broken = await shop.post(f"/v1/models/{job_id}/promote", None)
    assert (broken.status_code, broken.json()["code"]) == (409, "release_broken")
    rollback = await shop.post("/v1/models/rollback", None)
    assert (rollback.status_code, rollback.json()["code"]) == (409, "nothing_to_roll_back_to")


@pytest.mark.parametrize(
    ("column", "reason"), [("heartbeat_at", LOST), ("created_at", NEVER_TAKEN)]
)
async def test_a_lost_job_fails_with_a_reason_and_is_tried_once_more(
    shop: Shop,
    pool: Pool,
    redis: Redis,
    queue: FakeQueue,
    settings: Settings,
    column: str,
    reason: str,
) -> None:
    job_id = await started(pool, queue, settings, shop)
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(f"UPDATE training_job SET {column} = now() - interval '3 hours'")

    queued_for = await schedule_trainings(pool, redis, queue, open_depot(settings), 1_000_000)

    assert (await job(shop, job_id))["reason"] == reason
    assert shop.tenant_id in queued_for
    newest = (await shop.get("/v1/models/jobs")).json()["jobs"][0]
    assert (newest["state"], newest["requested_by"]) == ("queued", "retry")


@pytest.mark.parametrize("attack", HOSTILE)
async def test_a_hostile_release_is_refused_and_the_old_one_serves(
    shop: Shop,
    pool: Pool,
    redis: Redis,
    queue: FakeQueue,
    settings: Settings,
    attack: str,
) -> None:
    old = await started(pool, queue, settings, shop)
    trains(settings, shop, old)
    await receive(pool, redis, settings, shop, old, release_id=old)
    hostile = await started(pool, queue, settings, shop)
    HOSTILE[attack](trains(settings, shop, hostile))

    await receive(pool, redis, settings, shop, hostile, release_id=hostile)

    assert (await job(shop, hostile))["state"] == "failed"
    assert await serving(shop) == [old]
    assert (await shop.post(f"/v1/models/{hostile}/promote", None)).status_code == 404
