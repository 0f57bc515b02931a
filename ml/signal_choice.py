"""How much views, baskets and purchases count in one shop, chosen on its own earlier weeks.

A few named sets of weights are compared by the classical methods that rest on them: each learns
from what was before the last window that teaches, and predicts what shoppers chose in it. The
window that judges is not looked at. The usual weights stay unless others are surely better.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ml.baselines import fit_ease, fit_item_knn, fit_trending
from ml.comparison import quality_of_baseline
from ml.interactions import KIND_INDEX, KIND_WEIGHT, KINDS, InteractionLog
from ml.leads import FEWEST_SHOPPERS, compare, surely_best
from ml.objective import Target
from ml.progress import Report
from ml.ranking_set import Truth, sample_truth
from ml.release import SignalChoice
from ml.serving.shopper import ShopperBook
from ml.shop import Shop
from ml.windows import Cuts, choices

MOST_EVENTS = 500_000
"""The latest before the window: so many tell enough, and what is learned from them is cheap."""
MOST_SHOPPERS = 400
EASE_ITEMS = 1_500
FEWEST_EVENTS = 500
"""Of browsing and of what is stronger, each; else there is nothing to weigh."""
BROWSING = ("view", "click", "dwell")
STRONGER = ("add_to_cart", "wishlist", "purchase")
USUAL = "usual"


def _set(browsing: float, **others: float) -> NDArray[np.float32]:
    """The usual weights with those of browsing times `browsing`, and others instead."""
    by_kind = dict(zip(KINDS, KIND_WEIGHT, strict=True))
    by_kind |= {kind: by_kind[kind] * browsing for kind in BROWSING} | others
    return np.array([by_kind[kind] for kind in KINDS], np.float32)


WEIGHTS: Mapping[str, NDArray[np.float32]] = {
    USUAL: KIND_WEIGHT,
    "browsing counts more": _set(2.5),
    "browsing counts less": _set(0.25),
    "purchases above all": _set(0.02, add_to_cart=0.3, wishlist=0.3),
}
"""Every kind keeps its sign: visits are cut the same, whatever is chosen."""


def choose_signals(shop: Shop, cuts: Cuts, kind: Target, seed: int, report: Report) -> SignalChoice:
    """Compare WEIGHTS in the last window but one. Equal seed and data: equal choice."""
    start_s, end_s = cuts.windows[-2]
    before = shop.log.before(start_s)
    if not has_several_signals(before):
        return _chosen(USUAL)
    n_shoppers = len(shop.shopper_ids)
    book = ShopperBook(before, shop.traits.of_shopper, start_s)
    everybody = choices(shop.log, start_s, end_s, kind, n_shoppers)
    truth = _of_new(sample_truth(everybody, MOST_SHOPPERS, seed), book)
    if len(truth.shoppers) < FEWEST_SHOPPERS:
        return _chosen(USUAL)
    taught = before.rows(slice(-MOST_EVENTS, None))
    merits: dict[str, NDArray[np.float64]] = {}
    for done, (name, weight) in enumerate(WEIGHTS.items()):
        report("signals", done / len(WEIGHTS), {})
        weighed = taught._replace(weight=weight[taught.kind])
        merits[name] = _merit(shop, weighed, start_s, truth, book)
    tried = compare(merits)
    chosen = _chosen(surely_best(tried, len(truth.shoppers)))
    report("signals", 1.0, {"ndcg@20": max(row.figure for row in tried)})
    return SignalChoice(
        chosen=chosen.chosen, weights=chosen.weights, shoppers=len(truth.shoppers), tried=tried
    )


def has_several_signals(log: InteractionLog) -> bool:
    """Whether there is browsing beside what is stronger, enough of both."""
    counts = np.bincount(log.kind, minlength=len(KINDS))
    browsing, stronger = (
        sum(int(counts[KIND_INDEX[kind]]) for kind in kinds) for kinds in (BROWSING, STRONGER)
    )
    return min(browsing, stronger) >= FEWEST_EVENTS


def _chosen(name: str) -> SignalChoice:
    by_kind = zip(KINDS, WEIGHTS[name].tolist(), strict=True)
    return SignalChoice(
        chosen=name, weights={kind: round(weight, 4) for kind, weight in by_kind if weight}
    )


def _of_new(truth: Truth, book: ShopperBook) -> Truth:
    """Shoppers who chose something they had not bought before."""
    rows = [
        row
        for row, (shopper, items) in enumerate(zip(truth.shoppers, truth.items, strict=True))
        if np.setdiff1d(items, book.shopper(int(shopper), 0).bought).size
    ]
    return Truth(truth.shoppers[rows], [truth.items[row] for row in rows])


def _merit(
    shop: Shop, log: InteractionLog, now_s: int, truth: Truth, book: ShopperBook
) -> NDArray[np.float64]:
    """NDCG@20 of each shopper, mean over the methods: (shoppers,)."""
    n_shoppers, n_items = len(shop.shopper_ids), len(shop.product_ids)
    orders = [
        fit_item_knn(log, n_shoppers, n_items, now_s),
        fit_ease(log, n_shoppers, n_items, now_s, EASE_ITEMS),
        fit_trending(log, n_shoppers, n_items, now_s),
    ]
    found = [quality_of_baseline(each, truth.shoppers, truth, book, n_items) for each in orders]
    return np.mean([each.ndcg for each in found], axis=0)
