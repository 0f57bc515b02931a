"""What the ranker is taught to predict, and how net revenue orders what it predicts."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from ml.interactions import KIND_INDEX, InteractionLog
from ml.objective import ENOUGH_EVENTS, Target, target_of
from ml.publish import Destination, publish
from ml.ranking import RankerConfig
from ml.ranking_set import later_choices
from ml.release import Objective, read_manifest, write_manifest
from ml.retrieval import TowerConfig
from ml.serving.engine import load_release, recommend
from ml.serving.order import order
from ml.serving.request import EngineRequest, Interaction
from ml.statistics import return_rates, was_refunded
from ml.train import Cuts, TrainConfig, train_shop
from tests.ml.small_release import NOW_S, PRODUCTS, write_small_release
from tests.ml.toy_shop import toy_shop

PURCHASE = KIND_INDEX["purchase"]


def log_of(*rows: tuple[int, int, str, int]) -> InteractionLog:
    """(shopper, item, kind, ts)."""
    shopper, item, kind, ts = zip(*rows, strict=True)
    return InteractionLog(
        shopper=np.array(shopper, np.int32),
        item=np.array(item, np.int32),
        kind=np.array([KIND_INDEX[k] for k in kind], np.int8),
        ts=np.array(ts, np.int64),
        market=np.zeros(len(rows), np.int16),
        device=np.zeros(len(rows), np.int8),
        weight=np.ones(len(rows), np.float32),
    )


RETURNS = log_of(
    (0, 5, "purchase", 1),  # given back
    (0, 6, "purchase", 1),
    (1, 5, "purchase", 2),
    (0, 5, "refund", 3),
    (1, 6, "refund", 4),  # bought before the log begins
    (1, 5, "purchase", 5),
    (1, 5, "refund", 6),  # of the two, one is kept
    (0, 7, "purchase", 7),
    (0, 7, "refund", 50),  # after the window
)


def test_a_refunded_order_is_no_positive() -> None:
    known = np.ones(2, bool)

    every = later_choices(RETURNS, 0, 10, PURCHASE, known)
    kept = later_choices(RETURNS, 0, 10, PURCHASE, known, kept=True)

    assert [items.tolist() for items in every.items] == [[5, 6, 7], [5]]
    assert [items.tolist() for items in kept.items] == [[6, 7], [5]]


def test_a_refund_takes_back_the_last_purchase_before_it() -> None:
    assert np.flatnonzero(was_refunded(RETURNS)).tolist() == [0, 5, 7]


def test_few_orders_lean_on_the_shops_return_rate() -> None:
    many = [(n, 0, "purchase", n) for n in range(100)]
    returned = [(n, 0, "refund", 200 + n) for n in range(50)]

    rates = return_rates(log_of(*many, *returned, (0, 1, "purchase", 300)), 3)

    assert rates[0] == pytest.approx(0.5, abs=0.01)
    assert rates[2] == pytest.approx(50 / 101, abs=1e-6)
    assert rates[1] == pytest.approx((20 * 50 / 101) / 21, abs=1e-6)


@pytest.mark.parametrize(
    ("wish", "events", "target"),
    [
        ("auto", "purchase", Target(PURCHASE)),
        ("auto", "view", Target(KIND_INDEX["view"])),
        ("click", "purchase", Target(KIND_INDEX["click"])),
        ("click", "view", Target(KIND_INDEX["view"])),
        ("order", "view", Target(PURCHASE, kept=True)),
        ("net-revenue", "view", Target(PURCHASE)),
    ],
)
def test_the_wish_decides_what_is_predicted(wish: Objective, events: str, target: Target) -> None:
    log = log_of(*[(0, 0, events, n) for n in range(ENOUGH_EVENTS)])

    assert target_of(wish, log) == target


def test_net_revenue_orders_by_what_an_order_leaves_and_scores_stay_probabilities() -> None:
    scores = np.array([0.5, 0.4, 0.1], np.float32)
    worth = np.array([100, 300, 900], np.float32)
    promoted = np.array([False, False, True])

    rows, final = order(scores, np.zeros(3, bool), 0.5, 3, worth)
    strict, _ = order(scores, promoted, 0.2, 3, worth)
    lifted, lifted_scores = order(scores, promoted, 0.05, 3, worth)

    assert rows.tolist() == [1, 2, 0]
    assert final.tolist() == pytest.approx([0.4, 0.1, 0.5])
    assert strict.tolist() == [1, 2, 0]  # worth does not help it over the threshold
    assert lifted.tolist() == [2, 1, 0]
    assert lifted_scores[0] == 1.0


def test_the_engine_obeys_the_objective_of_its_release(tmp_path: Path) -> None:
    folder = write_small_release(tmp_path)
    viewed = [Interaction(product_id="p03", kind="view", occurred_at_s=NOW_S - 60)]
    request = EngineRequest(now_s=NOW_S, limit=12, recent=viewed)
    likely = recommend(load_release(folder), request)
    manifest = msgspec.structs.replace(read_manifest(folder), objective="net-revenue")
    write_manifest(folder, manifest)

    release = load_release(folder)
    dear = recommend(release, request)

    worth = dict(zip(PRODUCTS, release.tables.worth_cents(), strict=True))
    value = [item.score * worth[item.product_id] for item in dear.items]
    assert worth["p00"] == pytest.approx(0.9 * 100)
    assert [i.product_id for i in dear.items] != [i.product_id for i in likely.items]
    assert value == sorted(value, reverse=True)
    assert {i.product_id: i.score for i in dear.items} == {
        i.product_id: i.score for i in likely.items
    }


def test_a_training_for_net_revenue_says_so_in_its_release(tmp_path: Path) -> None:
    shop = toy_shop()
    config = TrainConfig(
        objective="net-revenue",
        towers=TowerConfig(passes=1, batch_size=256, held_out=200),
        ranker=RankerConfig(epochs=1),
    )
    place = Destination(
        tenant_id="toy", release_id="r1", releases=tmp_path, objective=config.objective
    )

    def silent(stage: str, fraction: float, figures: dict[str, float]) -> None:
        pass

    publish(shop, train_shop(shop, Cuts.of_log(shop.log), config, silent), place, silent)

    assert read_manifest(place.folder).objective == "net-revenue"
    assert load_release(place.folder).worth_cents is not None
