"""Whether the process lives and can do its work."""

import httpx

from tests.conftest import Shop


async def test_a_running_process_says_it_lives(anyone: httpx.AsyncClient, shop: Shop) -> None:
    assert (await anyone.get("/health/live")).json() == {"status": "live"}
