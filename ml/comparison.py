"""Own models beside the classical orders, on the same shoppers and the same later weeks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.baselines import ScoreRows
from ml.metrics import coverage, ndcg_at_k, recall_at_k
from ml.ranking_set import LIST_LENGTH, Candidates, Truth
from ml.release import Score
from ml.serving.candidate_features import DENSE_FEATURES
from ml.serving.shopper import ShopperBook
from ml.serving.sources import best

SHOPPERS_AT_ONCE = 256


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


def pooled(qualities: list[ListQuality]) -> ListQuality:
    """Of several windows as one; `coverage` is their mean."""
    return ListQuality(
        ndcg=np.concatenate([quality.ndcg for quality in qualities]),
        recall=np.concatenate([quality.recall for quality in qualities]),
        coverage=float(np.mean([quality.coverage for quality in qualities])),
    )


def quality_of_lists(
    lists: NDArray[np.int64], hits: NDArray[np.bool_], relevant: NDArray[np.int64], n_items: int
) -> ListQuality:
    """lists: (shoppers, LIST_LENGTH) positions, best first, -1 where a list is short."""
    return ListQuality(
        ndcg=ndcg_at_k(hits, relevant),
        recall=recall_at_k(hits, relevant),
        coverage=coverage(lists[lists >= 0], n_items),
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
    lists = np.full((groups, LIST_LENGTH), -1, np.int64)
    hits = np.zeros((groups, LIST_LENGTH), bool)
    lists[group, place] = candidates.item[rows]
    hits[group, place] = candidates.label[rows] > 0
    return quality_of_lists(lists, hits, candidates.relevant, n_items)


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
    lists = np.full((len(shoppers), LIST_LENGTH), -1, np.int64)
    hits = np.zeros((len(shoppers), LIST_LENGTH), bool)
    relevant = np.zeros(len(shoppers), np.int64)
    for start in range(0, len(shoppers), SHOPPERS_AT_ONCE):
        chunk = shoppers[start : start + SHOPPERS_AT_ONCE]
        scores = np.array(score_rows(chunk), np.float32)
        for row, shopper in enumerate(chunk):
            bought = book.shopper(int(shopper), 0).bought
            allowed = np.ones(n_items, bool)
            allowed[bought] = False
            top = best(scores[row], allowed, LIST_LENGTH)
            top = top[np.lexsort((top, -scores[row, top]))]
            goal = np.setdiff1d(wanted[int(shopper)], bought)
            lists[start + row, : len(top)] = top
            hits[start + row, : len(top)] = np.isin(top, goal)
            relevant[start + row] = len(goal)
    return quality_of_lists(lists, hits, relevant, n_items)
