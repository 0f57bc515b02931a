"""Nothing of the future reaches what is learned before it, or an evaluation would flatter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ml import metrics, train, windows
from ml.evaluate import Moments, evaluate
from ml.interactions import KIND_INDEX, InteractionLog
from ml.objective import Target
from ml.ranking import RankerConfig, train_ranker
from ml.ranking_set import Candidates, split_shoppers
from ml.release import MANIFEST
from ml.retrieval import TowerConfig
from ml.retriever import Retriever
from ml.serving.tables import Tables
from ml.shop import Shop
from ml.train import Encoders, TrainConfig, describe_catalogue, train_shop
from ml.windows import Cuts, Window, Windowing, describe_window
from tests.ml.toy_shop import DAY_S, START_S, toy_dataset, toy_shop

CONFIG = TrainConfig(
    most_shoppers=120,
    towers=TowerConfig(passes=1, batch_size=256, held_out=100),
    ranker=RankerConfig(epochs=1, negatives=20),
)
PURCHASE = KIND_INDEX["purchase"]
T = START_S + 90 * DAY_S
Change = Callable[[InteractionLog], InteractionLog]


def quiet(stage: str, fraction: float, figures: dict[str, float]) -> None:
    pass


@pytest.fixture(scope="module")
def shop() -> Shop:
    return toy_shop()


def with_tail(shop: Shop, start_s: int, change: Change) -> Shop:
    """The shop with other events from `start_s` on."""
    before = shop.log.before(start_s)
    after = change(shop.log.between(start_s, 2**40))
    parts = zip(before, after, strict=True)
    return shop._replace(log=InteractionLog(*map(np.concatenate, parts)))


def bought_by_chance(times: int, n_items: int, seed: int = 5) -> Change:
    """Every event of the tail is repeated, with a product that nothing speaks for."""

    def change(tail: InteractionLog) -> InteractionLog:
        rows = np.repeat(np.arange(len(tail.ts)), times)
        items = np.random.default_rng(seed).integers(0, n_items, len(rows))
        return tail.rows(rows)._replace(item=items.astype(np.int32))

    return change


def only(item: int) -> Change:
    return lambda tail: tail._replace(item=np.full_like(tail.item, item))


def window_of(shop: Shop, start_s: int = T) -> Window:
    """Choices of 30 days from `start_s`, over a retriever learned before it."""
    catalogue = describe_catalogue(shop, None, Encoders(), quiet)
    retriever = windows.fit_retriever(
        shop, catalogue, start_s, CONFIG.towers, None, quiet, (0.0, 1.0)
    )
    end_s = start_s + 30 * DAY_S
    how = Windowing(
        kind=Target(PURCHASE),
        most_shoppers=CONFIG.most_shoppers,
        seed=CONFIG.seed,
        towers=CONFIG.towers,
    )
    return describe_window(shop, retriever, start_s, end_s, how, lambda _fraction: None).window


def test_a_ranker_of_choices_made_by_chance_knows_no_more_than_chance(shop: Shop) -> None:
    """A feature that looked at the choices themselves would tell them apart."""
    aucs: list[float] = []
    for seed in range(12):  # one draw alone strays by 0.013
        chance = with_tail(shop, T, bought_by_chance(12, len(shop.product_ids), seed))
        kept, held = split_shoppers([window_of(chance).new], 0.5, seed)
        ranker = train_ranker(kept, held, RankerConfig(epochs=1), lambda _fraction, _figures: None)
        assert held.label.sum() > 2_000
        aucs.append(metrics.auc(held.label, ranker.logits(held)))

    assert np.mean(aucs) == pytest.approx(0.5, abs=0.01)


def test_no_feature_is_computed_after_the_moment_of_the_choice(shop: Shop) -> None:
    window = window_of(shop)
    changed = window_of(with_tail(shop, T, bought_by_chance(1, len(shop.product_ids))))

    for mode in ("new", "repeat"):
        one, other = both(window, mode), both(changed, mode)
        assert not np.array_equal(one.label, other.label)
        for shopper in np.intersect1d(one.shopper, other.shopper)[:50]:
            for ours, theirs in zip(rows_of(one, shopper), rows_of(other, shopper), strict=True):
                np.testing.assert_array_equal(ours, theirs)


def both(window: Window, mode: str) -> Candidates:
    return window.new if mode == "new" else window.repeat


def rows_of(candidates: Candidates, shopper: int) -> list[np.ndarray]:
    [group] = np.flatnonzero(candidates.shopper == shopper)
    rows = candidates.group == group
    return [column[rows] for column in (candidates.dense, candidates.codes, candidates.item)]


def test_what_is_sold_after_a_cut_is_unknown_to_everything_learned_before_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One product sells in each of the two windows only, and nowhere else."""
    cuts = Cuts((T - 30 * DAY_S, T, T + 30 * DAY_S))
    spies = {start_s: 118 + place for place, (start_s, _) in enumerate(cuts.windows)}
    spied = shop._replace(log=shop.log.rows(~np.isin(shop.log.item, list(spies.values()))))
    for start_s, item in spies.items():
        spied = with_tail(spied, start_s, only(item))
    learned: list[tuple[int, Retriever]] = []
    fit = windows.fit_retriever

    def remembered(*arguments: object) -> Retriever:
        retriever = fit(*arguments)
        learned.append((cast(int, arguments[2]), retriever))
        return retriever

    for module in (windows, train):
        monkeypatch.setattr(module, "fit_retriever", remembered)
    train_shop(spied, cuts, CONFIG, quiet)

    assert [now_s for now_s, _ in learned] == list(cuts.moments)
    for now_s, retriever in learned:
        for start_s, item in spies.items():
            assert is_known(retriever.tables, item) == (start_s < now_s)
            assert retriever.tables.cut_s == now_s


def is_known(tables: Tables, item: int) -> bool:
    """Whether any count, age or neighbour speaks of the product."""
    counted = tables.trends[item].any() or tables.market_trends[:, item].any()
    aged = tables.first_seen_s[item] < tables.cut_s
    near = any(
        table.weight[item].any() or table.weight[table.item == item].any()
        for table in (tables.co_purchase, tables.ease)
    )
    assert counted == aged
    assert counted or not near
    return bool(counted)


def test_a_release_is_the_same_byte_for_byte_whatever_happens_after_its_cut(
    tmp_path: Path,
) -> None:
    """`aisle evaluate` on the same shop with the future as it was, and with another one."""
    data = toy_dataset()
    moments = data.events["occurred_at"].cast(pa.int64()).to_numpy() // 1_000_000
    later = moments >= T
    products = data.events["product_id"].to_numpy(zero_copy_only=False).copy()
    products[later] = "p001"
    half = ~later | (np.arange(len(later)) % 2 == 0)
    place = data.events.schema.get_field_index("product_id")
    other = data.events.set_column(place, "product_id", pa.array(products, pa.string()))
    futures = {"as it was": data.events, "another": other.filter(pa.array(half))}

    made = {name: released(tmp_path / name, events) for name, events in futures.items()}

    assert later.sum() > 500
    assert made["as it was"].keys() == made["another"].keys()
    for name, held in made["as it was"].items():
        assert held == made["another"][name], name


def released(folder: Path, events: pa.Table) -> dict[str, Any]:
    """Bytes of every file of the release, the manifest without times."""
    data = toy_dataset()
    folder.mkdir()
    pq.write_table(data.products, folder / "products.parquet")
    pq.write_table(data.customers, folder / "customers.parquet")
    pq.write_table(events, folder / "events.parquet")
    moments = Moments(validate_from_s=T - 20 * DAY_S, test_from_s=T, test_until_s=T + DAY_S)
    evaluate(folder, moments, folder, CONFIG, Console(quiet=True))
    [release] = (folder / "releases").glob("at-*")
    manifest = msgspec.json.decode((release / MANIFEST).read_bytes())
    del manifest["created_at"], manifest["metrics"]["seconds"]
    files = {path.name: path.read_bytes() for path in release.iterdir() if path.name != MANIFEST}
    assert "ranker.onnx" in files
    return files | {MANIFEST: manifest}
