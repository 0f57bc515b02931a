"""Products that arrive after the release in service, through HTTP."""

from typing import Any

import pytest

from tests.backend.events.helping import until
from tests.backend.recommend.asking import asks, names, sells_everything
from tests.backend.recommend.conftest import Serve
from tests.conftest import Shop

TEA = {"product_id": "tea", "title": "A green tea of the year"}
HAMMER = {"product_id": "hammer", "title": "Steel hammer, heavy"}
DRINKER = [{"product_id": "p00"}, {"product_id": "p01"}]
BUILDER = [{"product_id": "p10"}, {"product_id": "p11"}]


@pytest.fixture
async def worded(shop: Shop, serve_release: Serve) -> Shop:
    await sells_everything(shop)
    await serve_release(shop, worded=True)
    await shop.has_products(TEA, HAMMER)
    await until_known(shop)
    return shop


async def until_known(shop: Shop) -> None:
    """The first answer that the release itself gives about an arrival."""

    async def is_known() -> bool:
        return (await asks(shop, placement="similar", product_id="tea"))["served_by"] == "content"

    await until(is_known)


def place(answer: dict[str, Any], product_id: str) -> int:
    return names(answer).index(product_id)


async def test_an_arrival_is_shown_to_whom_it_suits(worded: Shop) -> None:
    to_drinker = await asks(worded, recent=DRINKER, limit=14)
    to_builder = await asks(worded, recent=BUILDER, limit=14)

    assert place(to_drinker, "tea") < place(to_drinker, "hammer")
    assert place(to_builder, "hammer") < place(to_builder, "tea")
    assert to_drinker["served_by"] == "own-models"


async def test_what_resembles_an_arrival_has_its_words(worded: Shop) -> None:
    answer = await asks(worded, placement="similar", product_id="hammer", limit=4)

    assert set(names(answer)) <= {f"p{n:02}" for n in range(6, 12)}


async def test_an_arrival_that_sold_out_is_gone_at_once(worded: Shop) -> None:
    await worded.has_products({**TEA, "in_stock": False})

    assert "tea" not in names(await asks(worded, recent=DRINKER, limit=14))


async def test_another_shop_does_not_see_it(
    worded: Shop, other_shop: Shop, serve_release: Serve
) -> None:
    await sells_everything(other_shop)
    await serve_release(other_shop, worded=True)

    assert "tea" not in names(await asks(other_shop, recent=DRINKER, limit=20))
