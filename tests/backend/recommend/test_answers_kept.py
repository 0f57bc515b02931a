"""The same request again costs one read of Redis, and any change makes a new answer."""

import pytest

from tests.backend.recommend.asking import asks, names, sells_everything, sends
from tests.backend.recommend.conftest import Serve
from tests.conftest import Shop

WHO = {"customer_id": "ann", "session_id": "s1"}


@pytest.fixture(autouse=True)
async def served(shop: Shop, serve_release: Serve) -> None:
    await sells_everything(shop)
    await serve_release(shop)


async def is_new(shop: Shop) -> bool:
    return not (await asks(shop, **WHO))["timings"]["cached"]


async def test_the_same_request_gets_the_same_products_under_a_name_of_its_own(shop: Shop) -> None:
    first, second = await asks(shop, **WHO), await asks(shop, **WHO)

    assert not first["timings"]["cached"]
    assert second["timings"]["cached"]
    assert second["items"] == first["items"]
    assert second["recommendation_id"] != first["recommendation_id"]


@pytest.mark.parametrize("whose", ["customer_id", "session_id"])
async def test_an_event_makes_a_new_answer(shop: Shop, whose: str) -> None:
    product = names(await asks(shop, **WHO))[0]
    await sends(shop, "dismiss", product, **{whose: WHO[whose]})

    assert product not in names(await asks(shop, **WHO))


async def test_what_sold_out_is_gone_from_the_next_answer(shop: Shop) -> None:
    product = names(await asks(shop, **WHO))[0]
    await shop.has_products({"product_id": product, "in_stock": False})

    assert product not in names(await asks(shop, **WHO))


async def test_what_the_shop_tells_of_a_customer_makes_a_new_answer(shop: Shop) -> None:
    await asks(shop, **WHO)
    told = await shop.post(
        "/v1/customers", {"customers": [{"customer_id": "ann", "country": "DE"}]}
    )
    assert told.status_code == 200, told.text

    assert await is_new(shop)


async def test_another_release_makes_a_new_answer(shop: Shop, serve_release: Serve) -> None:
    first = await asks(shop, **WHO)
    await serve_release(shop)

    assert (await asks(shop, **WHO))["release_id"] != first["release_id"]


async def test_two_shops_with_the_same_customers_do_not_share_answers(
    shop: Shop, other_shop: Shop
) -> None:
    await asks(shop, **WHO)

    assert names(await asks(other_shop, **WHO)) == []
