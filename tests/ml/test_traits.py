"""What a shop tells of its customers, from attributes to the query tower."""

import json

import numpy as np
import pyarrow as pa
import pytest

from ml.dataset import CUSTOMERS, Dataset
from ml.features import encode_catalogue
from ml.retrieval import TowerConfig, TrainedTowers, train_two_tower
from ml.serving.release import tower_inputs
from ml.serving.shopper import shopper_of_request
from ml.serving.traits import MOST_TRAITS, device_row, trait_rows, traits_of
from ml.shop import Shop, build_shop
from ml.traits import FEWEST_WITH_TRAIT, shopper_traits
from tests.ml.toy_shop import PRODUCTS_EACH, START_S, TASTES, toy_dataset

CONFIG = TowerConfig(batch_size=256, passes=8, held_out=300, dim=16, trainer="torch")
DEVICE_OF_TASTE = ("desktop", "mobile", "tablet")


def customers(attributes: dict[str, object]) -> pa.Table:
    ids = list(attributes)
    told = [json.dumps(value) for value in attributes.values()]
    nothing = pa.nulls(len(ids), pa.string())
    return pa.table([pa.array(ids), nothing, pa.array(told)], schema=CUSTOMERS)


def with_told(dataset: Dataset) -> Dataset:
    """Customers say which taste they have, and shop for it on one device."""
    ids = dataset.customers["customer_id"].to_pylist()
    tastes = [
        int(str(customer)[1:]) % TASTES for customer in dataset.events["customer_id"].to_pylist()
    ]
    context = [json.dumps({"device": DEVICE_OF_TASTE[taste % 3]}) for taste in tastes]
    place = dataset.events.schema.get_field_index("context")
    return Dataset(
        dataset.products,
        customers({str(name): {"likes": k % TASTES} for k, name in enumerate(ids)}),
        dataset.events.set_column(place, "context", pa.array(context)),
    )


@pytest.fixture(scope="module")
def shop() -> Shop:
    return build_shop(with_told(toy_dataset()))


@pytest.fixture(scope="module")
def trained(shop: Shop) -> TrainedTowers:
    features = encode_catalogue(shop.products, "torch")
    return train_two_tower(
        shop.log, features, len(shop.markets), shop.traits, CONFIG, lambda _done, _said: None
    )


def tastes_of_nearest(
    trained: TrainedTowers, shop: Shop, traits: list[str], device: str
) -> list[int]:
    """Of the ten products nearest to somebody without a history."""
    index = {name: row for row, name in enumerate(shop.traits.names) if row}
    nobody = shopper_of_request(
        [], [], 0, START_S, START_S, {}, trait_rows(traits, index), device_row(device)
    )
    vector = trained.query_vectors(tower_inputs([nobody]))[0]
    return (np.argsort(-(trained.item_vectors @ vector))[:10] // PRODUCTS_EACH).tolist()


def test_a_new_customer_of_whom_something_is_told_gets_what_suits(
    trained: TrainedTowers, shop: Shop
) -> None:
    for taste in range(TASTES):
        nearest = tastes_of_nearest(trained, shop, [f"likes={taste}"], DEVICE_OF_TASTE[taste % 3])
        assert nearest.count(taste) >= 8


def test_the_device_alone_says_something(trained: TrainedTowers, shop: Shop) -> None:
    nearest = tastes_of_nearest(trained, shop, [], "tablet")

    assert sum(taste % 3 == 2 for taste in nearest) >= 8


def test_texts_flags_whole_numbers_and_lists_of_them_are_traits() -> None:
    attributes = {"Plan": " Gold ", "vip": True, "age": 7, "tags": ["b", "a", None], "score": 0.25}

    assert traits_of(attributes) == ["Plan=gold", "age=7", "tags=a", "tags=b", "vip=true"]


@pytest.mark.parametrize("odd", [None, "text", 5, [1], {}, {"deep": {"a": 1}}, {"long": "x" * 99}])
def test_whatever_else_a_shop_sends_tells_nothing(odd: object) -> None:
    assert traits_of(odd) == []


def test_what_few_customers_share_is_no_trait() -> None:
    told: dict[str, object] = {
        f"c{n}": {"plan": "gold", "email": f"{n}@shop.test"} for n in range(FEWEST_WITH_TRAIT)
    }
    traits = shopper_traits(customers(told), [*told, "session:s"])

    assert traits.names == ["", "plan=gold"]
    assert traits.of_shopper.shape == (FEWEST_WITH_TRAIT + 1, MOST_TRAITS)
    assert traits.of_shopper[:, 0].tolist() == [1] * FEWEST_WITH_TRAIT + [0]


def test_attributes_that_are_no_json_tell_nothing() -> None:
    table = pa.table([pa.array(["c"]), pa.array(["DE"]), pa.array(["{no"])], schema=CUSTOMERS)

    assert shopper_traits(table, ["c"]).names == [""]
