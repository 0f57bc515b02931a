"""The simple methods every answer is held against, written anew: numpy and scipy, no product code.

Each gives lists of TOP products per shopper of a split, best first. Ties are ordered by product id.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from tests.eval.grading import SECONDS_PER_DAY, TOP, Lists, Mode, Split, bought_again

NEIGHBOURS = 100
SHRINK = 10.0
PROFILE_HALF_LIFE_DAYS = 30.0
TRENDING_HALF_LIFE_DAYS = {"movielens_1m": 3.0}
USUAL_HALF_LIFE_DAYS = 7.0
SHOPPERS_AT_ONCE = 512


class Known(NamedTuple):
    """What was known before the cut, as positions in sorted names."""

    users: NDArray[np.object_]
    items: NDArray[np.object_]
    user: NDArray[np.intp]
    item: NDArray[np.intp]
    age_days: NDArray[np.float64]
    """Before the last event known."""
    liked: sp.csr_matrix
    """(users, items), 1 where bought at all."""


def known(split: Split) -> Known:
    users, user = np.unique(split.before.user.astype(str), return_inverse=True)
    items, item = np.unique(split.before.item.astype(str), return_inverse=True)
    liked = sp.csr_matrix((np.ones(len(user), np.float32), (user, item)), (len(users), len(items)))
    liked.data[:] = 1
    age_days = (split.before.ts.max() - split.before.ts) / SECONDS_PER_DAY
    return Known(users, items, user, item, age_days, liked)


Scores = Callable[[NDArray[np.intp]], NDArray[np.floating]]
"""Positions of shoppers (rows,) -> (rows, items), higher is better."""


def popularity(shop: Known) -> Scores:
    """By number of buyers."""
    row = np.asarray(shop.liked.sum(axis=0)).ravel()
    return lambda rows: np.broadcast_to(row, (len(rows), len(row)))


def trending(shop: Known, half_life_days: float) -> Scores:
    """By purchases, each counting half after every `half_life_days`."""
    row = np.bincount(shop.item, 0.5 ** (shop.age_days / half_life_days), len(shop.items))
    return lambda rows: np.broadcast_to(row, (len(rows), len(row)))


def item_knn(shop: Known, half_life_days: float = PROFILE_HALF_LIFE_DAYS) -> Scores:
    """Shrunk cosine of buyers in common; the shopper's purchases halve every `half_life_days`."""
    common = (shop.liked.T @ shop.liked).tocsr()
    count = common.diagonal()
    common.setdiag(0)
    common.eliminate_zeros()
    row = np.repeat(np.arange(common.shape[0]), np.diff(common.indptr))
    common.data /= np.sqrt(count[row] * count[common.indices]) + SHRINK
    for start, end in zip(common.indptr, common.indptr[1:], strict=False):
        strength = common.data[start:end]
        if len(strength) > NEIGHBOURS:
            strength[np.argpartition(-strength, NEIGHBOURS)[NEIGHBOURS:]] = 0
    common.eliminate_zeros()
    weight = (0.5 ** (shop.age_days / half_life_days)).astype(np.float32)
    profiles = sp.csr_matrix((weight, (shop.user, shop.item)), shop.liked.shape)
    return lambda rows: (profiles[rows] @ common).toarray()


def lists_by(shop: Known, score: Scores, split: Split, mode: Mode) -> Lists:
    """`new` leaves out what the shopper bought before."""
    asked = np.array(sorted(split.later), dtype=str)
    rows = np.searchsorted(shop.users, asked)
    lists: dict[str, list[str]] = {}
    for start in range(0, len(rows), SHOPPERS_AT_ONCE):
        part = rows[start : start + SHOPPERS_AT_ONCE]
        scores = np.array(score(part), np.float64)
        if mode == "new":
            owned = shop.liked[part].tocoo()
            scores[owned.row, owned.col] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        for user, items, found in zip(
            asked[start:], best, np.take_along_axis(scores, best, 1), strict=False
        ):
            lists[str(user)] = [str(name) for name in shop.items[items[found > -np.inf]]]
    return lists


def trending_for_all(dataset: str, split: Split) -> list[str]:
    """What somebody without a history would be shown."""
    shop = known(split)
    half_life_days = TRENDING_HALF_LIFE_DAYS.get(dataset, USUAL_HALF_LIFE_DAYS)
    row = trending(shop, half_life_days)(np.zeros(1, np.intp))[0]
    return [str(name) for name in shop.items[np.argsort(-row, kind="stable")[:TOP]]]


def rivals(dataset: str, split: Split, mode: Mode) -> dict[str, Lists]:
    """Name -> lists; personal frequency only where repeats count."""
    shop = known(split)
    half_life_days = TRENDING_HALF_LIFE_DAYS.get(dataset, USUAL_HALF_LIFE_DAYS)
    found = {
        "popularity": lists_by(shop, popularity(shop), split, mode),
        "trending": lists_by(shop, trending(shop, half_life_days), split, mode),
        "item-kNN": lists_by(shop, item_knn(shop), split, mode),
    }
    return found | ({"personal frequency": bought_again(split)} if mode == "repeat" else {})
