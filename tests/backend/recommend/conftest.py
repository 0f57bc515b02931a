"""A shop with products, behaviour and a release in service."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from ulid import ULID

from backend.cache import Redis
from backend.db import Pool
from backend.settings import Settings
from backend.tenancy import tenant_connection
from backend.training import activation, queries
from ml.release import read_manifest
from tests.conftest import Shop
from tests.ml.small_release import write_small_release
from tests.ml.worded_release import write_worded_release

Serve = Callable[..., Awaitable[Path]]


@pytest.fixture
def serve_release(settings: Settings, pool: Pool, redis: Redis) -> Serve:
    """Put a small release in service for a shop; gives its folder."""

    async def serve(shop: Shop, champion: str = "own-models", *, worded: bool = False) -> Path:
        release_id = str(ULID())
        releases = settings.object_store / "releases" / str(shop.tenant_id)
        folder = (
            write_worded_release(releases, release_id, str(shop.tenant_id))
            if worded
            else write_small_release(releases, release_id, champion, str(shop.tenant_id))
        )
        async with tenant_connection(pool, shop.tenant_id) as conn:
            await queries.insert_release(conn, read_manifest(folder))
            await queries.serve(conn, release_id)
        await activation.announce(redis, shop.tenant_id)
        return folder

    return serve
