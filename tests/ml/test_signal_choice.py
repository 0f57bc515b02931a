"""How much views count is what a shop's own weeks say, and every release carries it."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from ml.interactions import KIND_INDEX, KIND_WEIGHT, KINDS, InteractionLog
from ml.objective import Target
from ml.release import ReleaseRejected
from ml.serving.sources import profile
from ml.serving.tables import Tables
from ml.serving.tables_files import load_tables, save_tables
from ml.shop import Shop
from ml.signal_choice import WEIGHTS, choose_signals
from ml.windows import Cuts
from tests.ml.small_release import small_tables
from tests.ml.test_allocation import owner_of
from tests.ml.toy_shop import DAY_S, PRODUCTS_EACH, START_S, TASTES, toy_shop

DAYS = 120
GIFTS_UNTIL = 85
VIEW, PURCHASE = KIND_INDEX["view"], KIND_INDEX["purchase"]
BOUGHT = Target(PURCHASE)


def quiet(stage: str, fraction: float, figures: dict[str, float]) -> None:
    pass


@pytest.fixture(scope="module")
def shop() -> Shop:
    return toy_shop()


def browsed(shop: Shop, *, telling: bool, seed: int = 5) -> Shop:
    """Views and purchases of all shoppers, each of whom has a taste.

    telling: views stay within the taste, and most of what was bought in the beginning are gifts, of
    any taste. Otherwise the many views are of what another taste buys.
    """
    rng = np.random.default_rng(seed)
    n, each = len(shop.shopper_ids), 30
    shopper = np.repeat(np.arange(n), each)
    day = rng.uniform(0, DAYS, n * each)
    viewed = rng.random(n * each) < (0.4 if telling else 0.7)
    own = (shopper % TASTES) * PRODUCTS_EACH + rng.integers(0, PRODUCTS_EACH, n * each)
    anything = rng.integers(0, len(shop.product_ids), n * each)
    gift = (day < GIFTS_UNTIL) & (rng.random(n * each) < 0.8)
    another = (own + PRODUCTS_EACH) % len(shop.product_ids)
    item = np.where(~viewed & gift, anything, own) if telling else np.where(viewed, another, own)
    ts = START_S + (day * DAY_S).astype(np.int64)
    order = np.argsort(ts, kind="stable")
    kind = np.where(viewed, VIEW, PURCHASE).astype(np.int8)
    log = InteractionLog(
        shopper=shopper.astype(np.int32),
        item=item.astype(np.int32),
        kind=kind,
        ts=ts,
        market=np.zeros(n * each, np.int16),
        device=np.zeros(n * each, np.int8),
        weight=KIND_WEIGHT[kind],
    )
    return shop._replace(log=log.rows(order))


def test_views_count_more_where_they_tell_what_is_bought(shop: Shop) -> None:
    telling = browsed(shop, telling=True)
    choice = choose_signals(telling, Cuts.of_log(telling.log), BOUGHT, 17, quiet)

    assert choice.chosen == "browsing counts more"
    assert choice.weights["view"] == 0.5
    assert [row.name for row in choice.tried] == list(WEIGHTS)


def test_views_count_less_where_they_mislead(shop: Shop) -> None:
    misleading = browsed(shop, telling=False)
    choice = choose_signals(misleading, Cuts.of_log(misleading.log), BOUGHT, 17, quiet)

    assert choice.weights["view"] < 0.2
    assert choice.weights["purchase"] == 1.0


def test_equal_data_and_seed_give_an_equal_choice(shop: Shop) -> None:
    telling = browsed(shop, telling=True)
    cuts = Cuts.of_log(telling.log)

    assert choose_signals(telling, cuts, BOUGHT, 3, quiet) == choose_signals(
        telling, cuts, BOUGHT, 3, quiet
    )


def test_what_the_judging_window_holds_changes_nothing(shop: Shop) -> None:
    telling = browsed(shop, telling=True)
    cuts = Cuts.of_log(telling.log)
    log = telling.log
    other = np.where(log.ts >= cuts.validate_from_s, 0, log.item).astype(np.int32)
    changed = telling._replace(log=log._replace(item=other))

    assert choose_signals(telling, cuts, BOUGHT, 17, quiet) == choose_signals(
        changed, cuts, BOUGHT, 17, quiet
    )


def test_a_shop_that_knows_purchases_alone_compares_nothing(shop: Shop) -> None:
    choice = choose_signals(shop, Cuts.of_log(shop.log), BOUGHT, 17, quiet)

    assert (choice.chosen, choice.shoppers, choice.tried) == ("usual", 0, [])
    assert choice.weights["view"] == pytest.approx(0.2)


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_kind_stays_on_its_side(name: str) -> None:
    assert (np.sign(WEIGHTS[name]) == np.sign(KIND_WEIGHT)).all()


def test_the_log_and_the_profile_weigh_alike(shop: Shop) -> None:
    weight = WEIGHTS["browsing counts more"]
    weighed = browsed(shop, telling=True).with_kind_weight(weight)
    shopper = owner_of([])._replace(
        items=np.int32([3]), kinds=np.int8([VIEW]), ages=np.zeros(1, np.float32)
    )
    interest = profile(small_tables()._replace(kind_weight=weighed.kind_weight), shopper)

    assert interest.weights.tolist() == [0.5]
    assert set(weighed.log.weight.tolist()) == {0.5, 1.0}


def test_a_release_carries_the_weights(tmp_path: Path) -> None:
    weight = WEIGHTS["purchases above all"]

    assert (
        loaded(tmp_path, small_tables()._replace(kind_weight=weight)).kind_weight == weight
    ).all()


def test_a_release_from_before_weighs_as_usual(tmp_path: Path) -> None:
    loaded(tmp_path, small_tables())
    rewrite(tmp_path, None)

    assert (load_tables(tmp_path).kind_weight == KIND_WEIGHT).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"view": float("nan")},
        {"view": float("inf")},
        {"view": 1e300},
        {"view": -0.2},
        {"view": 0.0},
        {"refund": 1.0},
        {"impression": 0.5},
        {"wink": 0.5},
    ],
)
def test_unsound_weights_are_refused(tmp_path: Path, changed: dict[str, float]) -> None:
    loaded(tmp_path, small_tables())
    rewrite(tmp_path, dict(zip(KINDS, KIND_WEIGHT.tolist(), strict=True)) | changed)

    with pytest.raises(ReleaseRejected):
        load_tables(tmp_path)


def test_weights_of_too_few_kinds_are_refused(tmp_path: Path) -> None:
    loaded(tmp_path, small_tables())
    rewrite(tmp_path, {"purchase": 1.0})

    with pytest.raises(ReleaseRejected):
        load_tables(tmp_path)


def loaded(folder: Path, tables: Tables) -> Tables:
    save_tables(tables, folder)
    return load_tables(folder)


def rewrite(folder: Path, kind_weight: dict[str, float] | None) -> None:
    """The weights in `items.msgpack`; None leaves them out, as older releases do."""
    path = folder / "items.msgpack"
    items = msgspec.msgpack.decode(path.read_bytes())
    del items["kind_weight"]
    if kind_weight is not None:
        items["kind_weight"] = kind_weight
    path.write_bytes(msgspec.msgpack.encode(items))
