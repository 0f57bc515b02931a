"""Releases change under load, and one shop's trouble is its own."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import Litestar
from msgspec import structs

from backend.app import create_app
from backend.settings import Settings
from infra.local.triton_server import LocalTriton
from tests.backend.recommend.asking import asks, sells_everything
from tests.backend.recommend.conftest import Serve
from tests.conftest import Shop, client_of

numbers = itertools.count()


@pytest.fixture
def asking_triton(settings: Settings, triton: LocalTriton) -> Litestar:
    return create_app(
        structs.replace(settings, aisle_inference="triton", aisle_triton_url=triton.url)
    )


async def asks_anew(shop: Shop) -> dict[str, Any]:
    return await asks(shop, limit=5, exclude=[f"not sold {next(numbers)}"])


async def answers_of(shop: Shop, enough: asyncio.Event) -> AsyncIterator[dict[str, Any]]:
    while not enough.is_set():
        yield await asks_anew(shop)


async def test_a_swap_and_a_rollback_under_load_fail_no_request(
    shop: Shop, serve_release: Serve, asking_triton: Litestar
) -> None:
    await sells_everything(shop)
    old, new = await serve_release(shop), await serve_release(shop)
    enough = asyncio.Event()
    seen: list[dict[str, Any]] = []

    async def load(asked: Shop) -> None:
        async for answer in answers_of(asked, enough):
            seen.append(answer)  # noqa: PERF401 - while it grows, the test reads it

    async with asking_triton.lifespan(), client_of(asking_triton, shop.secret_key) as api:
        through = structs.replace(shop, api=api)
        loads = [asyncio.create_task(load(through)) for _ in range(4)]
        for change in ("/v1/models/rollback", f"/v1/models/{new.name}/promote"):
            answer = await through.post(change, None)
            assert answer.is_success, answer.text
            wanted = old.name if change.endswith("rollback") else new.name
            while (await asks_anew(through))["release_id"] != wanted:
                pass
        enough.set()
        await asyncio.gather(*loads)

    assert {answer["release_id"] for answer in seen} <= {old.name, new.name}
    assert not any(answer["degraded"] for answer in seen)
    assert {len(answer["items"]) for answer in seen} == {5}


async def test_a_broken_release_of_one_shop_leaves_the_others_served(
    shop: Shop, other_shop: Shop, serve_release: Serve, asking_triton: Litestar
) -> None:
    for each in (shop, other_shop):
        await sells_everything(each)
        folder = await serve_release(each)
    (folder / "ranker.onnx").write_bytes(b"broken")

    async with (
        asking_triton.lifespan(),
        client_of(asking_triton, shop.secret_key) as ours,
        client_of(asking_triton, other_shop.secret_key) as theirs,
    ):
        for _ in range(10):
            broken = await asks_anew(structs.replace(other_shop, api=theirs))
            sound = await asks_anew(structs.replace(shop, api=ours))

            assert (broken["degraded"], broken["served_by"]) == (True, "newest")
            assert (sound["degraded"], sound["served_by"]) == (False, "blend")
