"""Places for candidates go to the sources that find what shoppers choose."""

import numpy as np
import pytest

from ml.allocation import DEEPEST, DISTINCT, FEWEST_TRENDING, STEP, Asked, allocate, ask
from ml.serving.shopper import Shopper, shopper_of_request
from ml.serving.sources import SOURCES
from tests.ml.small_release import NOW_S, small_tables

ITEMS = 3000


def asked(chosen: list[int], **ranked: list[int]) -> list[Asked]:
    """Twenty shoppers to whom the sources named say the same."""
    table = np.full((len(SOURCES), DEEPEST), -1, np.int32)
    for source, items in ranked.items():
        table[SOURCES.index(source), : len(items)] = items
    hit = np.zeros(ITEMS, bool)
    hit[chosen] = True
    return [Asked(table, hit)] * 20


def test_a_source_that_alone_finds_choices_gets_the_places_it_needs() -> None:
    places = allocate(
        asked([149], content=list(range(300)), season=list(range(1000, 1300)))
        + asked(list(range(100)), content=list(range(300)))
    )

    assert places["content"] >= 100
    assert places["season"] == STEP


def test_what_another_source_found_already_counts_once() -> None:
    same = list(range(300))
    places = allocate(asked(list(range(0, 300, 3)), ease=same, popular=same))

    assert min(places["ease"], places["popular"]) == STEP


def test_no_more_are_scored_than_there_is_time_for() -> None:
    found = asked(list(range(400)), ease=list(range(400)))

    assert DISTINCT <= allocate(found)["ease"] < DISTINCT + STEP


def test_every_source_keeps_some_places() -> None:
    places = allocate(asked([1], ease=[1, 2, 3]))

    assert places.pop("trending") == FEWEST_TRENDING
    assert set(places.values()) == {STEP}


@pytest.mark.parametrize(
    ("bought", "mode", "ranked", "chosen"),
    [
        ([], "new", [0, 1, 2], [0, 2]),
        ([0], "new", [1, 2, 3], [2]),
        ([0], "repeat", [0, 1, 2], [0, 2]),
    ],
)
def test_what_is_owned_counts_only_where_it_may_come_again(
    bought: list[int], mode: str, ranked: list[int], chosen: list[int]
) -> None:
    told = ask(small_tables(), owner_of(bought), np.zeros(0, np.float32), np.int32([0, 2]), mode)

    assert told.ranked[SOURCES.index("popular"), :3].tolist() == ranked
    assert np.flatnonzero(told.chosen).tolist() == chosen


def owner_of(items: list[int]) -> Shopper:
    tables = small_tables()
    index = {product_id: position for position, product_id in enumerate(tables.product_ids)}
    nobody = shopper_of_request([], [], 0, NOW_S, NOW_S, index)
    ones = np.ones(len(items), np.float32)
    return nobody._replace(
        bought=np.int32(items),
        bought_times=ones,
        bought_ages=ones,
        bought_first_ages=ones,
        bought_strength=ones,
    )
