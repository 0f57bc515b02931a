"""Trainer, worker and web process that share no disk: everything goes through a bucket."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import structs

from backend.cache import Redis
from backend.db import Pool
from backend.object_store import Depot, open_depot
from backend.recommend.pipeline import Recommender, open_recommender, recommend
from backend.recommend.schemas import RecommendationRequest, Recommendations
from backend.releases import name_release
from backend.settings import Settings
from backend.training import activation, jobs
from backend.training.fetch import depot_into, fetch_in_service
from backend.training.schemas import TrainingOutcome
from ml.dataset import read_dataset
from ml.publish import Destination
from ml.release import verify_release
from ml.travel import brought_here
from storage.location import open_store
from tests.backend.recommend.asking import sells_everything
from tests.backend.training.conftest import FakeQueue
from tests.buckets import Bucket
from tests.conftest import Shop
from tests.ml.small_release import write_small_release

WITHIN_S = 20

Activates = Callable[[], Awaitable[str]]


@pytest.fixture
def machine(bucket: Bucket, settings: Settings, tmp_path: Path) -> "Machines":
    return Machines(bucket, settings, tmp_path)


class Machines:
    """Each has a disk of its own."""

    def __init__(self, bucket: Bucket, settings: Settings, disks: Path) -> None:
        self.location = f"{bucket.location}/of-a-test"
        self._settings = settings
        self._disks = disks

    def settings(self, name: str) -> Settings:
        return structs.replace(
            self._settings,
            aisle_object_store=self.location,
            aisle_state_dir=self._disks / name,
        )

    def depot(self, name: str) -> Depot:
        return open_depot(self.settings(name))


@pytest.fixture
async def web(machine: Machines, pool: Pool, redis: Redis) -> AsyncIterator[Recommender]:
    async with open_recommender(machine.settings("web"), pool, redis) as opened:
        yield opened


@pytest.fixture
def activates(
    machine: Machines, pool: Pool, redis: Redis, queue: FakeQueue, shop: Shop, tmp_path: Path
) -> Activates:
    """A training from the request to the pointer, each part on its own machine."""
    scratch = tmp_path / "scratch"

    async def train_and_serve() -> str:
        depot = machine.depot("worker")
        job_id = (await jobs.request_training(pool, queue, shop.tenant_id, "test")).job_id
        await jobs.start_training(pool, queue, depot, shop.tenant_id, job_id)
        told = queue.sent[-1].kwargs

        def destination(folder: Path) -> Destination:
            return Destination(
                tenant_id=str(shop.tenant_id),
                release_id=job_id,
                releases=folder,
                parent_release_id=told["parent_release"],
            )

        places = str(told["dataset"]), str(told["releases"])
        with brought_here(*places, destination, scratch) as (data, here, deliver):
            assert len(read_dataset(data).products)
            if here.parent_release_id:
                assert (here.releases / here.parent_release_id / "manifest.json").exists()
            write_small_release(here.releases, job_id, tenant_id=str(shop.tenant_id))
            deliver()
        assert os.listdir(scratch) == []
        outcome = TrainingOutcome(release_id=job_id)
        await activation.receive_outcome(pool, redis, depot, shop.tenant_id, job_id, outcome)
        return job_id

    return train_and_serve


async def answers_from(web: Recommender, shop: Shop, release_id: str) -> list[Recommendations]:
    """Ask until the release answers; everything answered on the way."""
    given: list[Recommendations] = []
    async with asyncio.timeout(WITHIN_S):
        while not given or given[-1].release_id != release_id:
            request = RecommendationRequest(placement="for-you", limit=5)
            given.append(await recommend(web, shop.tenant_id, request))
            await asyncio.sleep(0)
    return given


async def test_releases_travel_and_the_one_before_answers_until_they_are_there(
    shop: Shop, machine: Machines, web: Recommender, activates: Activates
) -> None:
    await sells_everything(shop)
    first = await activates()
    await answers_from(web, shop, first)

    second = await activates()
    given = await answers_from(web, shop, second)

    assert {answer.release_id for answer in given} <= {first, second}
    assert all(len(answer.items) == 5 for answer in given)
    store = open_store(machine.location)
    assert {kept.name for kept in store.folders("releases", str(shop.tenant_id))} == {first, second}
    assert store.folders("datasets", str(shop.tenant_id)) == []


async def test_what_is_tampered_with_in_the_bucket_does_not_go_into_service(
    shop: Shop,
    machine: Machines,
    bucket: Bucket,
    pool: Pool,
    redis: Redis,
    queue: FakeQueue,
    activates: Activates,
    tmp_path: Path,
) -> None:
    await sells_everything(shop)
    first = await activates()
    depot = machine.depot("worker")
    folder = write_small_release(tmp_path, "tampered", tenant_id=str(shop.tenant_id))
    open_store(machine.location).publish(folder, "releases", str(shop.tenant_id), "tampered")
    (key,) = (
        key for key in bucket.listing() if key.endswith("items.msgpack") and "tampered" in key
    )
    bucket.put(key, b"longer than what was promised" * 1000)
    job_id = (await jobs.request_training(pool, queue, shop.tenant_id, "test")).job_id

    outcome = TrainingOutcome(release_id="tampered")
    await activation.receive_outcome(pool, redis, depot, shop.tenant_id, job_id, outcome)

    job = await jobs.training_job(pool, shop.tenant_id, job_id)
    assert job.state == "failed"
    assert "items.msgpack" in str(job.reason)
    models = await activation.models(pool, shop.tenant_id)
    assert [model.release_id for model in models.models if model.serving] == [first]


async def test_a_named_release_is_fetched_before_anybody_asks(
    shop: Shop, machine: Machines, web: Recommender, redis: Redis, tmp_path: Path
) -> None:
    folder = write_small_release(tmp_path, "named", tenant_id=str(shop.tenant_id))
    parts = ("releases", str(shop.tenant_id), "named")
    open_store(machine.location).publish(folder, *parts)
    here = machine.settings("web").object_store.joinpath(*parts)

    async with asyncio.timeout(WITHIN_S):
        while not here.exists():
            await name_release(redis, shop.tenant_id, "named")
            await asyncio.sleep(0.05)


async def test_a_serving_machine_fetches_what_is_in_service(
    shop: Shop, machine: Machines, pool: Pool, activates: Activates, tmp_path: Path
) -> None:
    await sells_everything(shop)
    names = [await activates() for _ in range(2)]
    depot = depot_into(machine.depot("triton"), tmp_path / "served")

    for _ in range(2):
        await fetch_in_service(pool, depot)

    fetched = tmp_path / "served" / "releases" / str(shop.tenant_id)
    assert sorted(verify_release(fetched / name).release_id for name in names) == sorted(names)
