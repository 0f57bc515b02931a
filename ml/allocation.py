"""How many candidates each source may put forward, by what a shop's shoppers chose."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.ranking_set import QueryVectors, Truth
from ml.serving.request import MODES, Mode
from ml.serving.shopper import Shopper, ShopperBook, may_see
from ml.serving.sources import (
    CANDIDATES_PER_SOURCE,
    LOWEST_CANDIDATE,
    SOURCES,
    best,
    profile,
    source_scores,
)
from ml.serving.tables import Tables

STEP = 10
DEEPEST = 400
FEWEST_TRENDING = 60
MOST_SHOPPERS = 300
"""So many tell enough: the shares of the sources are what is looked for."""
FEWEST_CHOICES = 200
DISTINCT = 200.0
"""Candidates to score for the average shopper, however much the sources overlap."""


class Asked(NamedTuple):
    """What the sources say for one shopper in one mode, and what the shopper then chose."""

    ranked: NDArray[np.int32]
    """(sources, DEEPEST): positions, best first; -1 where a source has no more."""
    chosen: NDArray[np.bool_]
    """(items,)."""


def choose_allocation(
    tables: Tables,
    book: ShopperBook,
    market: NDArray[np.int16],
    truth: Truth,
    query_vectors: QueryVectors,
) -> Mapping[str, int]:
    """Places for each source that find most of what was chosen for DISTINCT candidates in all.

    The usual ones where fewer than FEWEST_CHOICES say anything.
    """
    rows = np.linspace(0, len(truth.shoppers) - 1, min(len(truth.shoppers), MOST_SHOPPERS))
    asked: list[Asked] = []
    for row in np.unique(rows.astype(int)):
        position = int(truth.shoppers[row])
        shopper = book.shopper(position, int(market[position]))
        vector = query_vectors([shopper])[0]
        asked += [ask(tables, shopper, vector, truth.items[row], mode) for mode in MODES]
    if sum(int(each.chosen.sum()) for each in asked) < FEWEST_CHOICES:
        return CANDIDATES_PER_SOURCE
    return allocate(asked)


def ask(
    tables: Tables,
    shopper: Shopper,
    query_vector: NDArray[np.float32],
    chosen: NDArray[np.int32],
    mode: Mode,
) -> Asked:
    scores = source_scores(tables, shopper, profile(tables, shopper), query_vector)
    allowed = may_see(shopper, mode, len(tables.product_ids))
    ranked = np.full((len(SOURCES), DEEPEST), -1, np.int32)
    for source, row in enumerate(scores):
        top = best(row, allowed, DEEPEST, LOWEST_CANDIDATE.get(SOURCES[source], 0.0))
        ranked[source, : len(top)] = top[np.lexsort((top, -row[top]))]
    hit = np.zeros(len(allowed), bool)
    hit[chosen] = True
    return Asked(ranked, hit & allowed)


def allocate(asked: list[Asked]) -> dict[str, int]:
    """Give places to the sources, STEP by STEP to whichever finds most for what it adds.

    Greedy cover under a budget (Khuller et al. 1999); what another source brings already costs
    nothing and finds nothing. Every source keeps STEP places, so that the ranker sees it, and what
    is trending FEWEST_TRENDING, so that every length of list is cut from the same candidates.
    """
    ranked = np.stack([each.ranked for each in asked])
    chosen = np.stack([each.chosen for each in asked])
    merged = np.zeros(chosen.shape, bool)
    places = np.zeros(len(SOURCES), int)
    for source, name in enumerate(SOURCES):
        for _ in range(FEWEST_TRENDING // STEP if name == "trending" else 1):
            _take(merged, ranked[:, source], places, source)
    while merged.sum() / len(asked) < DISTINCT and places.min() < DEEPEST:
        worth = [
            _worth(merged, chosen, ranked[:, source, place : place + STEP])
            for source, place in enumerate(places)
        ]
        if max(worth) <= 0:
            break
        source = int(np.argmax(worth))
        _take(merged, ranked[:, source], places, source)
    return {source: int(count) for source, count in zip(SOURCES, places, strict=True)}


def _take(
    merged: NDArray[np.bool_], ranked: NDArray[np.int32], places: NDArray[np.int_], source: int
) -> None:
    """The next STEP of one source join what is merged."""
    added = ranked[:, places[source] : places[source] + STEP]
    row, column = np.nonzero(added >= 0)
    merged[row, added[row, column]] = True
    places[source] += STEP


def _worth(merged: NDArray[np.bool_], chosen: NDArray[np.bool_], added: NDArray[np.int32]) -> float:
    """Choices found per candidate that is scored for them."""
    row, column = np.nonzero(added >= 0)
    item = added[row, column]
    fresh = ~merged[row, item]
    return float(chosen[row, item][fresh].sum() / max(1, fresh.sum()))
