"""Own models beside the classical orders, on the same shoppers and the same later weeks."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.ranking_set import LIST_LENGTH, Candidates, Truth
from ml.release import Score
from ml.serving.candidate_features import DENSE_FEATURES
from ml.serving.shopper import ShopperBook

DISCOUNT = 1 / np.log2(np.arange(2, LIST_LENGTH + 2))
IDEAL = np.cumsum(DISCOUNT)
SHOPPERS_AT_ONCE = 256

ScoreRows = Callable[[NDArray[np.int32]], NDArray[np.float32]]
"""Positions of shoppers to scores of every product: (rows,) to (rows, items)."""


class ListQuality(NamedTuple):
    """One value per shopper, (shoppers,), in the order of `Candidates.shopper`."""

    ndcg: NDArray[np.float64]
    recall: NDArray[np.float64]
    coverage: float
    """Share of the catalogue shown to anybody."""

    def score(self, name: str) -> Score:
        return Score(
            name=name,
            ndcg=float(self.ndcg.mean()) if self.ndcg.size else 0.0,
            recall=float(self.recall.mean()) if self.recall.size else 0.0,
            coverage=self.coverage,
        )


def quality_of_order(
    candidates: Candidates, scores: NDArray[np.float32], n_items: int
) -> ListQuality:
    """How good the best LIST_LENGTH of each group are. scores: (n,), higher first."""
    order = np.lexsort((-scores, candidates.group))
    group = candidates.group[order]
    groups = len(candidates.relevant)
    place = np.arange(len(group)) - np.searchsorted(group, np.arange(groups))[group]
    shown = place < LIST_LENGTH
    group, place, rows = group[shown], place[shown], order[shown]
    label = candidates.label[rows].astype(np.float64)
    ideal = IDEAL[np.minimum(candidates.relevant, LIST_LENGTH) - 1]
    return ListQuality(
        ndcg=np.bincount(group, label * DISCOUNT[place], groups) / ideal,
        recall=np.bincount(group, label, groups) / candidates.relevant,
        coverage=len(np.unique(candidates.item[rows])) / n_items,
    )


def quality_of_source(candidates: Candidates, source: str, n_items: int) -> ListQuality:
    """The order one candidate source gives; candidates hold the best of every source."""
    column = DENSE_FEATURES.index(f"{source} score")
    return quality_of_order(candidates, candidates.dense[:, column], n_items)


def quality_of_baseline(
    score_rows: ScoreRows,
    shoppers: NDArray[np.int32],
    truth: Truth,
    book: ShopperBook,
    n_items: int,
) -> ListQuality:
    """A classical method over the whole catalogue, products already bought removed."""
    wanted = dict(zip(truth.shoppers.tolist(), truth.items, strict=True))
    ndcg, recall = np.zeros(len(shoppers)), np.zeros(len(shoppers))
    seen = np.zeros(n_items, bool)
    for start in range(0, len(shoppers), SHOPPERS_AT_ONCE):
        chunk = shoppers[start : start + SHOPPERS_AT_ONCE]
        scores = np.array(score_rows(chunk), np.float32)
        for row, shopper in enumerate(chunk):
            bought = book.shopper(int(shopper), 0).bought
            scores[row, bought] = -np.inf
            top = np.argpartition(-scores[row], LIST_LENGTH)[:LIST_LENGTH]
            top = top[np.lexsort((top, -scores[row, top]))]
            goal = np.setdiff1d(wanted[int(shopper)], bought)
            hit = np.isin(top, goal)
            ideal = IDEAL[min(len(goal), LIST_LENGTH) - 1]
            ndcg[start + row] = (hit * DISCOUNT[: len(top)]).sum() / ideal
            recall[start + row] = hit.sum() / len(goal)
            seen[top] = True
    return ListQuality(ndcg, recall, float(seen.mean()))
