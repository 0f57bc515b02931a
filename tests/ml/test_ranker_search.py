"""A ranker of another size is trained only where the shop's earlier windows surely ask for it."""

import numpy as np
import pytest
from msgspec import structs

from ml.leads import compare, surely_best
from ml.ranker_search import NOT_SEARCHED, USUAL, affordable, rows_trained, search_ranker
from ml.ranking import RankerConfig
from ml.ranking_set import Candidates
from ml.serving.candidate_features import CODE_FEATURES, DENSE_FEATURES
from ml.windows import Window

SHOPPERS, SIZE = 120, 30
CONFIG = RankerConfig(epochs=2, negatives=20)
ASLEEP = structs.replace(CONFIG, learning_rate=1e-9)
"""Learns nothing."""
AWAKE = {"awake": {"learning_rate": 3e-3}}
PLENTY = 10**9


def quiet(stage: str, fraction: float, figures: dict[str, float]) -> None:
    pass


def lists(seed: int) -> Candidates:
    """The higher the first feature, the likelier the choice."""
    rng = np.random.default_rng(seed)
    n = SHOPPERS * SIZE
    dense = rng.normal(size=(n, len(DENSE_FEATURES))).astype(np.float32)
    label = (rng.random(n) < 1 / (1 + np.exp(3 - 2 * dense[:, 0]))).astype(np.float32)
    group = np.repeat(np.arange(SHOPPERS), SIZE).astype(np.int32)
    label[::SIZE] = 1
    return Candidates(
        dense=dense,
        codes=rng.integers(0, 4, (n, len(CODE_FEATURES))),
        item=np.tile(np.arange(SIZE), SHOPPERS),
        group=group,
        label=label,
        relevant=np.bincount(group, label).astype(np.int64),
        shopper=np.arange(SHOPPERS, dtype=np.int32),
    )


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    return [Window(lists(2 * k), lists(2 * k + 1)) for k in range(2)]


def test_a_challenger_that_is_surely_ahead_is_trained(windows: list[Window]) -> None:
    searched = search_ranker(windows, ASLEEP, 17, PLENTY, quiet, AWAKE)

    assert searched.config == structs.replace(CONFIG, learning_rate=3e-3)
    assert searched.choice.chosen == "awake"
    assert searched.choice.shoppers == SHOPPERS


def test_the_usual_ranker_stays_where_none_is_ahead(windows: list[Window]) -> None:
    searched = search_ranker(
        windows, CONFIG, 17, PLENTY, quiet, {"asleep": {"learning_rate": 1e-9}}
    )

    assert searched.config == CONFIG
    assert [row.name for row in searched.choice.tried] == [USUAL, "asleep"]
    assert searched.choice.tried[1].lead < 0


def test_equal_data_and_seed_give_equal_figures(windows: list[Window]) -> None:
    one, other = (search_ranker(windows, ASLEEP, 17, PLENTY, quiet, AWAKE) for _ in range(2))

    assert one == other


def test_what_is_tried_is_bounded_by_rows(windows: list[Window]) -> None:
    each = rows_trained(windows[:1], CONFIG)
    many = {name: {"dropout": 0.1} for name in "abc"}

    assert list(affordable(windows, CONFIG, 3 * each, many)) == [USUAL, "a", "b"]
    assert list(affordable(windows, CONFIG, each, many)) == [USUAL]


def test_a_challenger_that_does_not_fit_leaves_room_for_the_next(windows: list[Window]) -> None:
    each = rows_trained(windows[:1], CONFIG)
    many = {"long": {"epochs": 6}, "short": {"epochs": 1}}

    assert list(affordable(windows, CONFIG, 2 * each, many)) == [USUAL, "short"]


@pytest.mark.parametrize("rows", [0, PLENTY])
def test_one_window_or_no_rows_try_nothing(windows: list[Window], rows: int) -> None:
    searched = search_ranker(windows[: 1 if rows else 2], CONFIG, 17, rows, quiet)

    assert searched.choice == NOT_SEARCHED
    assert searched.config == CONFIG


def test_a_lead_by_chance_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    usual = rng.random(400)
    noise = rng.normal(0, 0.1, 400)
    merits = {
        USUAL: usual,
        "by chance": usual + noise - noise.mean() + 0.005,
        "surely": usual + noise - noise.mean() + 0.02,
    }

    assert surely_best(compare({k: merits[k] for k in (USUAL, "by chance")}), 400) == USUAL
    assert surely_best(compare(merits), 400) == "surely"
    assert surely_best(compare(merits), 20) == USUAL
