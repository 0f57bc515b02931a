"""Loaded releases within a byte cap."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from backend.inference import EmbeddedBackend, ReleaseUnusable
from backend.recommend.live_catalog import LiveCatalog
from tests.ml.small_release import write_small_release

SHOP = UUID(int=1)
OTHER_SHOP = UUID(int=2)
NOTHING_NEW = LiveCatalog()


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    for shop in (SHOP, OTHER_SHOP):
        write_small_release(tmp_path / str(shop), tenant_id=str(shop))
    return tmp_path


def backend_of(releases: Path, capacity_bytes: int = 1 << 30) -> EmbeddedBackend:
    return EmbeddedBackend(lambda shop, name: releases / shop / name, capacity_bytes)


async def test_callers_share_one_load(releases: Path) -> None:
    backend = backend_of(releases)

    loaded = await asyncio.gather(*(backend.release(SHOP, "r1", NOTHING_NEW) for _ in range(5)))

    assert all(release is loaded[0] for release in loaded)
    assert await backend.release(OTHER_SHOP, "r1", NOTHING_NEW) is not loaded[0]
    await backend.close()


async def test_one_caller_giving_up_leaves_the_load_to_the_others(releases: Path) -> None:
    backend = backend_of(releases)
    impatient = asyncio.create_task(backend.release(SHOP, "r1", NOTHING_NEW))
    patient = asyncio.create_task(backend.release(SHOP, "r1", NOTHING_NEW))
    await asyncio.sleep(0)
    impatient.cancel()

    assert (await patient).release_id == "r1"
    await backend.close()


async def test_the_least_recently_used_release_makes_room(releases: Path) -> None:
    backend = backend_of(releases, capacity_bytes=1)
    first = await backend.release(SHOP, "r1", NOTHING_NEW)
    await backend.release(OTHER_SHOP, "r1", NOTHING_NEW)

    assert await backend.release(SHOP, "r1", NOTHING_NEW) is not first
    await backend.close()


async def test_a_broken_release_is_refused_and_not_read_at_every_request(releases: Path) -> None:
    items = releases / str(SHOP) / "r1" / "items.msgpack"
    sound = items.read_bytes()
    items.write_bytes(b"broken")
    backend = backend_of(releases)
    with pytest.raises(ReleaseUnusable):
        await backend.release(SHOP, "r1", NOTHING_NEW)
    items.write_bytes(sound)

    with pytest.raises(ReleaseUnusable):
        await backend.release(SHOP, "r1", NOTHING_NEW)
    assert (await backend.release(OTHER_SHOP, "r1", NOTHING_NEW)).release_id == "r1"
    await backend.close()
