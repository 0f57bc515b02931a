"""Old releases leave the store; what serves, and what may serve again, stays."""

import os
import time
from pathlib import Path

import pytest

from backend.db import Pool
from backend.object_store import open_depot
from backend.settings import Settings
from backend.tenancy import tenant_connection
from backend.training import queries
from backend.training.collect import collect_of
from ml.release import read_manifest
from tests.backend.training.conftest import trains
from tests.conftest import Shop

TWO_DAYS_S = 2 * 86_400


async def served(pool: Pool, settings: Settings, shop: Shop, *names: str) -> list[Path]:
    """Each in service after the other."""
    folders = [trains(settings, shop, name) for name in names]
    async with tenant_connection(pool, shop.tenant_id) as conn:
        for folder in folders:
            await queries.insert_release(conn, read_manifest(folder))
            await queries.serve(conn, folder.name)
    return folders


async def two_days_pass(pool: Pool, shop: Shop, *folders: Path) -> None:
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(
            """
            UPDATE release SET created_at = created_at - interval '2 days',
                               left_service_at = left_service_at - interval '2 days'
            """
        )
    then = time.time() - TWO_DAYS_S
    for folder in folders:
        for path in [*folder.rglob("*"), folder]:
            os.utime(path, (then, then))


def left(folders: list[Path]) -> list[str]:
    return [folder.name for folder in folders if folder.exists()]


async def test_three_releases_stay(shop: Shop, pool: Pool, settings: Settings) -> None:
    folders = await served(pool, settings, shop, "r1", "r2", "r3", "r4", "r5")
    await two_days_pass(pool, shop, *folders)
    depot = open_depot(settings)

    removed = [await collect_of(pool, depot, shop.tenant_id) for _ in range(2)]

    assert removed == [2, 0]
    assert left(folders) == ["r3", "r4", "r5"]
    gone = await shop.post("/v1/models/r1/promote", None)
    assert (gone.status_code, gone.json()["code"]) == (409, "release_removed")
    listed = (await shop.get("/v1/models")).json()["models"]
    assert len(listed) == 5


async def test_what_serves_and_served_before_stays_however_old(
    shop: Shop, pool: Pool, settings: Settings
) -> None:
    folders = await served(pool, settings, shop, "r1", "r2", "r3", "r4", "r5")
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await queries.serve(conn, "r1")
        await queries.serve(conn, "r2")
    await two_days_pass(pool, shop, *folders)

    await collect_of(pool, open_depot(settings), shop.tenant_id)

    assert left(folders) == ["r1", "r2", "r5"]


async def test_what_left_service_within_a_day_stays(
    shop: Shop, pool: Pool, settings: Settings
) -> None:
    folders = await served(pool, settings, shop, "r1", "r2", "r3", "r4")
    await two_days_pass(pool, shop, *folders)
    folders += await served(pool, settings, shop, "r5", "r6")

    await collect_of(pool, open_depot(settings), shop.tenant_id)

    assert left(folders) == ["r3", "r4", "r5", "r6"]


@pytest.mark.parametrize("place", ["half", ".staging/half", ".partial/half"])
async def test_what_was_never_finished_goes_after_a_day(
    shop: Shop, pool: Pool, settings: Settings, place: str
) -> None:
    depot = open_depot(settings)
    half = settings.object_store / "releases" / str(shop.tenant_id) / place
    half.mkdir(parents=True)
    (half / "items.msgpack").write_bytes(b"1")

    assert await collect_of(pool, depot, shop.tenant_id) == 0
    await two_days_pass(pool, shop, half)
    assert await collect_of(pool, depot, shop.tenant_id) == 1
    assert not half.exists()


async def test_the_vectors_of_products_stay(shop: Shop, pool: Pool, settings: Settings) -> None:
    vectors = settings.object_store / "releases" / str(shop.tenant_id) / ".vectors"
    vectors.mkdir(parents=True)
    await two_days_pass(pool, shop, vectors)

    await collect_of(pool, open_depot(settings), shop.tenant_id)

    assert vectors.exists()
