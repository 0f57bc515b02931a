"""Whatever a Triton server does, shoppers get answers, and good ones again once it is well."""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from backend.recommend.pipeline import open_inference
from backend.settings import MissingSetting, Settings
from backend.triton.backend import AT_ONCE
from infra.local.triton_server import LocalTriton
from ml.serving.triton_alive import is_alive
from tests.backend.events.helping import until
from tests.backend.recommend.asking import asks
from tests.backend.triton.conftest import Through
from tests.conftest import Shop

Misbehave = Callable[[str], None]
LATEST_S = 1.0
"""The deadline, and what a busy machine needs beyond it."""

numbers = itertools.count()


async def asks_anew(shop: Shop) -> dict[str, Any]:
    """A request that no cache has the answer to."""
    return await asks(shop, limit=5, exclude=[f"not sold {next(numbers)}"])


async def answers_well(shop: Shop) -> None:
    async def is_well() -> bool:
        answer = await asks_anew(shop)
        return not answer["degraded"] and answer["served_by"] == "blend"

    await until(is_well)


async def degrades_without_errors(shop: Shop) -> None:
    """At first each answer takes the deadline; then the server is left alone."""
    took_s: list[float] = []
    for _ in range(12):
        begun = time.monotonic()
        answer = await asks_anew(shop)
        took_s.append(time.monotonic() - begun)
        assert answer["degraded"]
        assert answer["served_by"] == "newest"
        assert len(answer["items"]) == 5
    assert max(took_s) < LATEST_S
    assert sorted(took_s[5:])[3] < 0.1, "nobody waits while the breaker is open"


async def test_a_killed_server_is_done_without_and_found_again(
    fragile: LocalTriton, through: Through
) -> None:
    async with through(fragile) as shop:
        await answers_well(shop)
        fragile.kill()
        await degrades_without_errors(shop)

        fragile.start()
        await answers_well(shop)


async def test_under_load_nobody_notices_the_kill_but_by_degraded_answers(
    fragile: LocalTriton, through: Through
) -> None:
    async with through(fragile) as shop:
        await answers_well(shop)
        answers: list[dict[str, Any]] = []

        async def keep_asking() -> None:
            for _ in range(30):
                answer = await asks_anew(shop)
                answers.append(answer)

        load = [asyncio.create_task(keep_asking()) for _ in range(4)]
        await until(lambda: has(answers, 20))
        await asyncio.to_thread(fragile.kill)
        await asyncio.gather(*load)

    assert len(answers) == 120
    assert all(len(answer["items"]) == 5 for answer in answers)
    assert not answers[0]["degraded"]
    assert answers[-1]["degraded"]


def test_without_the_clients_library_the_start_is_refused_in_words(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient.grpc.aio", None)

    with pytest.raises(MissingSetting, match=r"aisle\[triton\]"):
        open_inference(structs.replace(settings, aisle_inference="triton"))


async def has(answers: list[dict[str, Any]], count: int) -> bool:
    return len(answers) >= count


async def test_a_server_without_its_model_process_is_found_out(
    fragile: LocalTriton, through: Through
) -> None:
    async with through(fragile) as shop:
        await answers_well(shop)
        process = fragile.process()
        assert process is not None
        assert await asyncio.to_thread(is_alive, fragile.url)
        for stub in process.children():
            stub.kill()

        await degrades_without_errors(shop)
        assert process.is_running()
        assert not await asyncio.to_thread(is_alive, fragile.url)

        await asyncio.to_thread(fragile.stop)
        await asyncio.to_thread(fragile.start)
        await answers_well(shop)


async def test_a_stopped_server_is_done_without_until_it_goes_on(
    fragile: LocalTriton, through: Through
) -> None:
    async with through(fragile) as shop:
        await answers_well(shop)
        process = fragile.process()
        assert process is not None
        process.suspend()
        try:
            await degrades_without_errors(shop)
        finally:
            process.resume()

        await answers_well(shop)


@pytest.mark.parametrize(
    "way", ["slow", "nan", "beyond one", "stranger", "shape", "empty", "garbage"]
)
async def test_nonsense_and_slowness_reach_nobody(
    misbehaving: LocalTriton, misbehave: Misbehave, through: Through, way: str
) -> None:
    async with through(misbehaving) as shop:
        await answers_well(shop)
        misbehave(way)
        await degrades_without_errors(shop)

        misbehave("")
        await answers_well(shop)


async def test_abandoned_requests_do_not_delay_the_next(
    misbehaving: LocalTriton, misbehave: Misbehave, through: Through
) -> None:
    async with through(misbehaving, deadline_ms=30_000) as shop:
        await answers_well(shop)
        misbehave("rather slow")
        asking = [asyncio.create_task(asks_anew(shop)) for _ in range(AT_ONCE)]
        _, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

        begun = time.monotonic()
        answer = await asks_anew(shop)
        took_s = time.monotonic() - begun

    assert not answer["degraded"]
    assert took_s < 0.5 * AT_ONCE / 2, "half a second each, for the one under way and this one"
