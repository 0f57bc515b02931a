"""Releases change while shoppers ask: nobody notices but by the name in the answer."""

import asyncio

from tests.backend.recommend.asking import sells_everything
from tests.backend.recommend.conftest import Serve
from tests.conftest import Shop

ASKERS = 8
BETWEEN = 40
"""Answers to be given before each change."""


async def test_a_swap_and_a_rollback_fail_no_request(shop: Shop, serve_release: Serve) -> None:
    await sells_everything(shop)
    first = (await serve_release(shop)).name
    failed: list[str] = []
    named: list[str] = []
    over = asyncio.Event()
    answered = asyncio.Condition()

    async def ask_on(number: int) -> None:
        asked = 0
        while not over.is_set():
            asked += 1
            body = {"placement": "for-you", "customer_id": f"{number}-{asked}", "limit": 5}
            answer = await shop.post("/v1/recommendations", body)
            told = answer.json()
            if answer.status_code != 200 or told["degraded"] or len(told["items"]) != 5:
                failed.append(answer.text)
            async with answered:
                named.append(str(told.get("release_id")))
                answered.notify_all()

    async def until(release_id: str) -> None:
        """Enough answers were given, and nobody is answered by another release any more."""
        start = len(named)
        async with asyncio.timeout(60):
            async with answered:
                await answered.wait_for(
                    lambda: len(named) >= start + BETWEEN and set(named[-ASKERS:]) == {release_id}
                )

    askers = [asyncio.create_task(ask_on(number)) for number in range(ASKERS)]
    await until(first)
    second = (await serve_release(shop)).name
    await until(second)
    assert (await shop.post("/v1/models/rollback", None)).json()["release_id"] == first
    await until(first)
    over.set()
    await asyncio.gather(*askers)

    assert failed == []
    assert set(named) == {first, second}
