"""Without PostgreSQL or Redis there is an answer in words, and it says when to try again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.app import create_app
from backend.migrate import migrate
from backend.settings import Settings
from infra.local.services import LocalPostgres, LocalRedis
from tests.conftest import client_of, open_shop

Servers = tuple[LocalPostgres, LocalRedis]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """Of this test alone, which may kill them."""
    folder = tmp_path / "fragile"
    folder.mkdir()
    pair = LocalPostgres(folder), LocalRedis(folder)
    for server in pair:
        server.start()
    yield pair
    for server in pair:
        server.remove()


@pytest.fixture
async def installation(servers: Servers, tmp_path: Path) -> Settings:
    postgres, redis = servers
    address = postgres.url.rpartition("@")[2]
    settings = Settings(
        database_url=postgres.url,
        app_database_url=f"postgresql://outage_app:secret@{address}",
        drain_database_url=f"postgresql://outage_drain:secret@{address}",
        redis_url=redis.url,
        aisle_state_dir=tmp_path,
    )
    await migrate(settings)
    return settings


async def test_outages_are_answered_in_words_and_end_by_themselves(
    servers: Servers, installation: Settings
) -> None:
    postgres, redis = servers
    app = create_app(installation)
    async with app.lifespan():
        shop = await open_shop(app)
        async with shop.api as api, client_of(app) as anyone:
            product = {"product_id": "tea", "title": "Tea"}
            assert (await api.post("/v1/products", json=product)).status_code == 200

            redis.kill()
            written = await api.post("/v1/products", json={**product, "title": "Green tea"})
            without_redis = await anyone.get("/health/ready")
            assert written.json()["results"] == [{"status": "updated", "id": "tea"}]
            assert without_redis.status_code == 503
            assert without_redis.json()["detail"] == "Redis cannot be reached"

            postgres.kill()
            refused = await api.get("/v1/products")
            keyed = await api.post("/v1/products", json=product, headers={"idempotency-key": "k"})
            without_both = await anyone.get("/health/ready")
            for answer in (refused, keyed):
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "5"
                assert answer.json()["code"] == "unavailable"
                assert "Traceback" not in answer.text
                assert "127.0.0.1" not in answer.text
            assert without_both.json()["detail"] == "PostgreSQL and Redis cannot be reached"
            assert (await anyone.get("/health/live")).status_code == 200

            postgres.start()
            redis.start()
            assert (await api.get("/v1/products/tea")).json()["title"] == "Green tea"
            assert (await anyone.get("/health/ready")).status_code == 200
