"""Why a product is shown: the source that speaks most for it, and the product it rests on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.serving.request import Purchase
from ml.serving.shopper import Shopper
from ml.serving.sources import SESSION, SOURCES, Interest, last_viewed
from ml.serving.tables import Neighbours, Tables

BOUGHT_TOGETHER = "bought-together"
VIEWED = "because-you-viewed"
SIMILAR = "similar"
TRENDING = "trending"
POPULAR = "popular"
BUY_AGAIN = "buy-again"
BOUGHT_BEFORE = "bought-before"
FOR_YOU = "for-you"

CODES = {
    "two-tower": FOR_YOU,
    "ease": BOUGHT_TOGETHER,
    "item-knn": BOUGHT_TOGETHER,
    "last-viewed": VIEWED,
    "content": SIMILAR,
    "trending": TRENDING,
    "season": POPULAR,
    "popular": POPULAR,
    "buy-again": BUY_AGAIN,
    "session": VIEWED,
}
BASIS = 50
"""So many of the shopper's strongest interests may be named."""
A_VISIT_DAYS = 0.5
"""What was looked at longer ago explains no more than the rest of the history."""
PERSUASION = np.array(
    [{"two-tower": 0.3, "season": 0.5, "popular": 0.4}.get(source, 1.0) for source in SOURCES],
    np.float32,
)
"""What explains little speaks for a product only where nothing else does."""


class Reason(NamedTuple):
    code: str
    because_of: str | None = None


def why(
    tables: Tables,
    shopper: Shopper,
    interest: Interest,
    scores: NDArray[np.float32],
    chosen: NDArray[np.int64],
) -> list[Reason]:
    """One reason per chosen position.

    scores: (sources, items) of `source_scores`. The source in which the product stands highest,
    relative to that source's best, speaks for it.
    """
    if not chosen.size:
        return []
    strongest = np.maximum(scores.max(axis=1, keepdims=True), 1e-9)
    persuasion = PERSUASION.copy()
    if shopper.ages.size and shopper.ages[0] > A_VISIT_DAYS:
        persuasion[[SOURCES.index("last-viewed"), SESSION]] = 0
    share = np.maximum(scores[:, chosen], 0) / strongest * persuasion[:, None]
    speaking = np.where(share.any(axis=0), share.argmax(axis=0), SOURCES.index("season"))
    because = np.full(len(chosen), -1)
    for source in np.unique(speaking):
        rows = speaking == source
        name = SOURCES[source]
        neighbours = _neighbours_of(tables, name)
        if neighbours is not None:
            of_visit = name in {"last-viewed", "session"}
            basis = last_viewed(shopper) if of_visit else interest.strongest(BASIS)
            because[rows] = strongest_links(
                neighbours, basis, chosen[rows], len(tables.product_ids)
            )
    return [
        Reason(CODES[SOURCES[source]], tables.product_ids[item] if item >= 0 else None)
        for source, item in zip(speaking, because, strict=True)
    ]


def _neighbours_of(tables: Tables, source: str) -> Neighbours | None:
    """What a source goes by, where that is one product leading to another."""
    if source == "ease":
        return tables.ease
    if source == "session":
        return tables.sessions.rules
    if source in {"item-knn", "last-viewed"}:
        return tables.co_purchase
    return tables.content if source == "content" else None


def strongest_links(
    neighbours: Neighbours, basis: Interest, chosen: NDArray[np.int64], n_items: int
) -> NDArray[np.int64]:
    """The product of `basis` that contributes most to each chosen one; -1 where none does."""
    items, weights = basis
    if not items.size:
        return np.full(len(chosen), -1)
    place = np.full(n_items, -1, np.int32)
    place[chosen] = np.arange(len(chosen))
    reached = place[neighbours.item[items]].ravel()
    hit = np.flatnonzero(reached >= 0)
    row, column = np.divmod(hit, neighbours.item.shape[1])
    strength = neighbours.weight[items[row], column] * weights[row]
    table = np.zeros((len(chosen), len(items)), np.float32)
    np.maximum.at(table, (reached[hit], row), strength)
    return np.where(table.max(axis=1) > 0, items[table.argmax(axis=1)], -1)


def visit_reasons(
    tables: Tables,
    shopper: Shopper,
    interest: Interest,
    scores: NDArray[np.float32],
    chosen: NDArray[np.int64],
) -> list[Reason]:
    """For an answer to a visit, as `why`: the product seen before, or that it is trending.

    What no single product led to rests on the newest one.
    """
    del interest
    basis = last_viewed(shopper)
    links = strongest_links(tables.sessions.rules, basis, chosen, len(tables.product_ids))
    because = np.where(links >= 0, links, basis.items[0])
    return [
        Reason(VIEWED, tables.product_ids[item]) if score > 0 else Reason(TRENDING)
        for score, item in zip(scores[SESSION, chosen], because, strict=True)
    ]


def similar_reasons(
    tables: Tables, anchor: int, chosen: NDArray[np.int64], together: NDArray[np.bool_]
) -> list[str]:
    """Reason codes for the placement `similar`."""
    alike = np.isin(chosen, tables.content.item[anchor][tables.content.weight[anchor] > 0])
    return [
        BOUGHT_TOGETHER if together[position] else SIMILAR if is_alike else POPULAR
        for position, is_alike in zip(chosen, alike, strict=True)
    ]


def complement_reasons(
    tables: Tables, anchors: NDArray[np.int64], chosen: NDArray[np.int64]
) -> list[Reason]:
    """The anchor that each goes with best, or that it is trending."""
    basis = Interest(anchors.astype(np.int32), np.ones(len(anchors), np.float32))
    learned = basis.items[basis.items < len(tables.co_purchase.item)]
    basis = Interest(learned, basis.weights[: len(learned)])
    links = strongest_links(tables.co_purchase, basis, chosen, len(tables.product_ids))
    return [
        Reason(BOUGHT_TOGETHER, tables.product_ids[anchor]) if anchor >= 0 else Reason(TRENDING)
        for anchor in links
    ]


def habit_reasons(bought: list[Purchase], chosen: list[str]) -> list[Reason]:
    """Each rests on itself: bought regularly, or once before."""
    regular = {purchase.product_id for purchase in bought if purchase.times > 1}
    return [Reason(BUY_AGAIN if name in regular else BOUGHT_BEFORE, name) for name in chosen]
