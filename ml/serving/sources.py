"""Candidate sources: each gives every product a score for one shopper; the best are merged."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.interactions import KIND_WEIGHT
from ml.serving.sessions import current_visit, session_scores
from ml.serving.shopper import Shopper
from ml.serving.tables import MONTH, SEASON, Neighbours, Tables

SOURCES = (
    "two-tower",
    "ease",
    "item-knn",
    "last-viewed",
    "content",
    "trending",
    "season",
    "popular",
    "buy-again",
    "session",
)
TRENDING = SOURCES.index("trending")
BUY_AGAIN = SOURCES.index("buy-again")
SESSION = SOURCES.index("session")
CANDIDATES_PER_SOURCE: Mapping[str, int] = {
    "two-tower": 60,
    "ease": 80,
    "item-knn": 50,
    "last-viewed": 20,
    "content": 20,
    "trending": 60,
    "season": 20,
    "popular": 20,
    "buy-again": 120,
    "session": 40,
}
"""Where a shop's own choices say nothing else."""
LOWEST_CANDIDATE = {"trending": -np.inf, "two-tower": -np.inf}
"""In the other sources a product without any score is no candidate."""
PROFILE_HALF_LIFE_DAYS = 30.0
LONGEST_PROFILE = 200
LAST_VIEWED = 3
LOOKED_AT = 16
CONTENT_PROFILE = 20


class Interest(NamedTuple):
    """What a shopper is interested in, strongest first."""

    items: NDArray[np.int32]
    """Distinct positions."""
    weights: NDArray[np.float32]

    def strongest(self, most: int) -> "Interest":
        return Interest(self.items[:most], self.weights[:most])


def source_scores(
    tables: Tables, shopper: Shopper, interest: Interest, query_vector: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scores of every product in every source: (sources, items), higher is better.

    query_vector: (dim,) from the query tower; dim 0 where a release has no towers. A source that
    knows nothing about the shopper scores zero throughout.
    """
    n = len(tables.product_ids)
    scores = np.zeros((len(SOURCES), n), np.float32)
    if query_vector.size:
        scores[0, : len(tables.item_vectors)] = tables.item_vectors @ query_vector
    scores[1] = spread(tables.ease, interest, n)
    scores[2] = spread(tables.co_purchase, interest, n)
    scores[3] = spread(tables.co_purchase, last_viewed(shopper), n)
    scores[4] = spread(tables.content, interest.strongest(CONTENT_PROFILE), n)
    trend = tables.market_trends[shopper.market]
    scores[5] = trend + 1e-4 * tables.trends[:, MONTH]
    scores[6] = tables.trends[:, SEASON]
    scores[7] = tables.popularity
    scores[8, shopper.bought] = shopper.bought_strength
    sessions = tables.sessions
    if sessions.visit_item.size:
        visit = current_visit(shopper, sessions.pause_s)
        scores[SESSION] = session_scores(sessions, visit, sessions.source, n)
    return scores


def profile(tables: Tables, shopper: Shopper) -> Interest:
    """Interactions count by `Tables.kind_weight` and halve every PROFILE_HALF_LIFE_DAYS.

    Older purchases count once. What was sent back or dismissed takes from what spoke for the same
    product before.
    """
    n = len(tables.product_ids)
    items = np.concatenate([shopper.items, shopper.bought])
    touched, lately = np.zeros(n, bool), np.zeros(n, bool)
    touched[items], lately[shopper.items] = True, True
    decay = 0.5 ** (shopper.ages / PROFILE_HALF_LIFE_DAYS)
    older = 0.5 ** (shopper.bought_ages / PROFILE_HALF_LIFE_DAYS)
    older[lately[shopper.bought]] = 0
    weights = np.concatenate([tables.kind_weight[shopper.kinds] * decay, older])
    distinct = np.flatnonzero(touched)
    summed = np.maximum(np.bincount(items, weights, n)[distinct], 0).astype(np.float32)
    strongest = np.argsort(-summed, kind="stable")[:LONGEST_PROFILE]
    return Interest(distinct[strongest].astype(np.int32), summed[strongest])


def last_viewed(shopper: Shopper) -> Interest:
    """The last LAST_VIEWED distinct products that were not turned down since; harmonic weights.

    What turns down is the same in every shop: `Tables.kind_weight` leaves every kind on its side.
    """
    _, first = np.unique(shopper.items, return_index=True)
    first = np.sort(first)
    newest = shopper.items[first[KIND_WEIGHT[shopper.kinds[first]] > 0][:LAST_VIEWED]]
    return Interest(newest, (1 / np.arange(1, len(newest) + 1)).astype(np.float32))


def spread(neighbours: Neighbours, interest: Interest, n: int) -> NDArray[np.float32]:
    """Sum of the neighbour weights of what is of interest: (n,)."""
    if not interest.items.size:
        return np.zeros(n, np.float32)
    reached = neighbours.item[interest.items].ravel()
    strength = (neighbours.weight[interest.items] * interest.weights[:, None]).ravel()
    return np.bincount(reached, strength, n).astype(np.float32)


def merge_candidates(
    tables: Tables, scores: NDArray[np.float32], allowed: NDArray[np.bool_], at_least: int
) -> NDArray[np.int64]:
    """Positions of the best allowed products of every source, sorted: (candidates,).

    scores: (sources, items). allowed: (items,). The trending source contributes at least
    `at_least`, so that a shopper with no history still gets a full list.
    """
    chosen = np.zeros(scores.shape[1], bool)
    for source, row in zip(SOURCES, scores, strict=True):
        k = tables.candidates[source]
        k = max(k, at_least) if source == "trending" else k
        chosen[best(row, allowed, k, LOWEST_CANDIDATE.get(source, 0.0))] = True
    return np.flatnonzero(chosen)


def best(
    row: NDArray[np.float32], allowed: NDArray[np.bool_], k: int, above: float = -np.inf
) -> NDArray[np.int64]:
    """Positions of the k best allowed products that score higher than `above`, in no order."""
    eligible = np.flatnonzero(allowed if above == -np.inf else allowed & (row > above))
    if len(eligible) <= k:
        return eligible
    scores = row[eligible]
    strong = _surely_holds_best(scores, k)
    if strong is not None:
        eligible, scores = eligible[strong], scores[strong]
    return eligible[np.argpartition(scores, len(scores) - k)[-k:]]


def _surely_holds_best(scores: NDArray[np.float32], k: int) -> NDArray[np.intp] | None:
    """A small part of the positions with the k best among them; None where none was found.

    Every LOOKED_AT-th score tells about where the k-th best lies: selecting from what is left
    takes half the time.
    """
    expected = 2 * k // LOOKED_AT + LOOKED_AT
    sample = scores[::LOOKED_AT]
    if len(sample) < 2 * expected:
        return None
    floor = np.partition(sample, len(sample) - expected)[-expected]
    strong = np.flatnonzero(scores >= floor)
    return strong if len(strong) >= k else None
