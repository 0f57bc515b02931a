"""From a data set to arrays, and from a log to one shopper at one moment."""

import numpy as np
import pyarrow as pa
import pytest

from ml.dataset import CUSTOMERS, EVENTS, PRODUCTS, Dataset
from ml.evaluate import request_of
from ml.interactions import KIND_INDEX
from ml.ranking_set import later_choices
from ml.serving.shopper import ShopperBook, shopper_of_request
from ml.serving.tables import position_index
from ml.shop import Shop, build_shop

DAY_S = 86_400
START_S = 1_700_000_000


def table(schema: pa.Schema, rows: list[dict[str, object]]) -> pa.Table:
    return pa.table(
        [pa.array([row.get(field.name) for row in rows], field.type) for field in schema],
        schema=schema,
    )


def event(number: int, kind: str, product: str | None, day: float, **who: str) -> dict[str, object]:
    moment = int((START_S + day * DAY_S) * 1e6)
    return {
        "event_id": f"e{number}",
        "type": kind,
        "product_id": product,
        "occurred_at": moment,
        **who,
    }


@pytest.fixture
def shop() -> Shop:
    products = [{"product_id": p, "title": p.upper()} for p in ("b", "a", "c")]
    customers = [{"customer_id": "anna", "country": "DE"}, {"customer_id": "zoe", "country": "FR"}]
    events = [
        event(1, "purchase", "a", 3, customer_id="anna"),
        event(2, "view", "b", 1, customer_id="anna", session_id="s1"),
        event(3, "purchase", "c", 2, customer_id="anna"),
        event(4, "purchase", "gone", 2, customer_id="anna"),
        event(5, "view", "c", 4, session_id="s2"),
        event(6, "purchase", "a", 9, customer_id="anna"),
        event(7, "purchase", "b", 9, customer_id="anna"),
        event(8, "impression", "b", 4, customer_id="anna"),
    ]
    return build_shop(
        Dataset(table(PRODUCTS, products), table(CUSTOMERS, customers), table(EVENTS, events))
    )


def test_events_of_one_moment_follow_their_ids_whatever_the_order_of_the_file() -> None:
    basket = [event(n, "purchase", p, 1, customer_id="anna") for n, p in ((3, "c"), (1, "a"))]
    later = event(2, "purchase", "b", 1 + 0.5 / DAY_S, customer_id="anna")
    products = table(PRODUCTS, [{"product_id": p, "title": p} for p in ("a", "b", "c")])
    orders = [[*basket, later], [later, *basket[::-1]]]

    shops = [
        build_shop(Dataset(products, table(CUSTOMERS, []), table(EVENTS, rows))) for rows in orders
    ]

    for shop in shops:
        newest_first = (
            ShopperBook(shop.log, shop.traits.of_shopper, START_S + 2 * DAY_S).shopper(0, 0).items
        )
        assert [shop.product_ids[item] for item in newest_first] == ["b", "a", "c"]


def test_positions_follow_ids_and_the_log_follows_time(shop: Shop) -> None:
    assert shop.product_ids == ["a", "b", "c"]
    assert shop.shopper_ids == ["anna", "session:s2"]
    assert shop.n_customers == 1
    assert shop.log.ts.tolist() == sorted(shop.log.ts.tolist())


def test_events_of_unknown_products_are_counted_and_left_out(shop: Shop) -> None:
    assert shop.unknown_events == 1
    assert len(shop.log.ts) == 7


def test_an_event_of_a_known_customer_is_not_also_a_sessions(shop: Shop) -> None:
    assert "session:s1" not in shop.shopper_ids


def test_the_market_is_the_customers_country(shop: Shop) -> None:
    assert shop.markets[shop.shopper_market[0]] == "DE"
    assert shop.shopper_market[1] == 0


def test_the_last_row_of_a_product_counts() -> None:
    rows = [{"product_id": "a", "title": "old"}, {"product_id": "a", "title": "new"}]
    empty = table(EVENTS, [])
    shop = build_shop(Dataset(table(PRODUCTS, rows), table(CUSTOMERS, []), empty))

    assert shop.products["title"].to_pylist() == ["new"]


def test_a_shopper_knows_nothing_of_later_events(shop: Shop) -> None:
    now_s = START_S + 5 * DAY_S
    anna = ShopperBook(shop.log.before(now_s), shop.traits.of_shopper, now_s).shopper(0, 1)

    assert [shop.product_ids[item] for item in anna.items] == ["a", "c", "b"]
    assert [shop.product_ids[item] for item in anna.bought] == ["a", "c"]
    assert anna.ages == pytest.approx([2, 3, 4])


def test_choices_after_a_moment_are_those_of_shoppers_known_before(shop: Shop) -> None:
    known = np.array([True, False])
    truth = later_choices(
        shop.log, START_S + 5 * DAY_S, START_S + 10 * DAY_S, KIND_INDEX["purchase"], known
    )

    assert truth.shoppers.tolist() == [0]
    assert truth.items[0].tolist() == [0, 1]


def test_the_engine_sees_the_shopper_training_saw(shop: Shop) -> None:
    now_s = START_S + 5 * DAY_S
    offline = ShopperBook(shop.log.before(now_s), shop.traits.of_shopper, now_s).shopper(0, 1)
    asked = request_of(offline, shop, now_s, "new")
    online = shopper_of_request(
        asked.recent, asked.bought, 1, asked.now_s, now_s, position_index(shop.product_ids)
    )

    for ours, theirs in zip(offline, online, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
