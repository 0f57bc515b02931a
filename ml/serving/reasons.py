"""Why a product is shown: the source that speaks most for it, and the product it rests on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.serving.shopper import Shopper
from ml.serving.sources import SOURCES, last_viewed, profile
from ml.serving.tables import Neighbours, Tables

BOUGHT_TOGETHER = "bought-together"
VIEWED = "because-you-viewed"
SIMILAR = "similar"
TRENDING = "trending"
POPULAR = "popular"
BUY_AGAIN = "buy-again"
FOR_YOU = "for-you"

CODES = {
    "two-tower": FOR_YOU,
    "ease": BOUGHT_TOGETHER,
    "item-knn": BOUGHT_TOGETHER,
    "last-viewed": VIEWED,
    "content": SIMILAR,
    "trending": TRENDING,
    "season": POPULAR,
    "buy-again": BUY_AGAIN,
}
PERSUASION = np.array(
    [{"two-tower": 0.3, "season": 0.5}.get(source, 1.0) for source in SOURCES], np.float32
)
"""What explains little speaks for a product only where nothing else does."""


class Reason(NamedTuple):
    code: str
    because_of: str | None = None


def why(
    tables: Tables,
    shopper: Shopper,
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
    share = np.maximum(scores[:, chosen], 0) / strongest * PERSUASION[:, None]
    speaking = np.where(share.any(axis=0), share.argmax(axis=0), SOURCES.index("season"))
    because = np.full(len(chosen), -1)
    for source in np.unique(speaking):
        rows = speaking == source
        behind = _behind(tables, shopper, SOURCES[source])
        if behind is not None:
            because[rows] = strongest_links(*behind, chosen[rows], len(tables.product_ids))
    return [
        Reason(CODES[SOURCES[source]], tables.product_ids[item] if item >= 0 else None)
        for source, item in zip(speaking, because, strict=True)
    ]


def _behind(
    tables: Tables, shopper: Shopper, source: str
) -> tuple[Neighbours, NDArray[np.int32], NDArray[np.float32]] | None:
    """What a source goes by: neighbours, and the shopper's products with weights."""
    if source == "last-viewed":
        return tables.co_purchase, *last_viewed(shopper)
    neighbours = {"ease": tables.ease, "item-knn": tables.co_purchase, "content": tables.content}
    return (neighbours[source], *profile(shopper)) if source in neighbours else None


def strongest_links(
    neighbours: Neighbours,
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    chosen: NDArray[np.int64],
    n_items: int,
) -> NDArray[np.int64]:
    """The one of `items` that contributes most to each chosen position; -1 where none does."""
    if not items.size:
        return np.full(len(chosen), -1)
    place = np.full(n_items, -1, np.int32)
    place[chosen] = np.arange(len(chosen))
    reached = place[neighbours.item[items]]
    row, _ = hit = np.nonzero(reached >= 0)
    strength = neighbours.weight[items][hit] * weights[row]
    table = np.zeros((len(chosen), len(items)), np.float32)
    np.maximum.at(table, (reached[hit], row), strength)
    return np.where(table.max(axis=1) > 0, items[table.argmax(axis=1)], -1)


def similar_reasons(
    tables: Tables, anchor: int, chosen: NDArray[np.int64], together: NDArray[np.bool_]
) -> list[str]:
    """Reason codes for the placement `similar`."""
    alike = np.isin(chosen, tables.content.item[anchor][tables.content.weight[anchor] > 0])
    return [
        BOUGHT_TOGETHER if together[position] else SIMILAR if is_alike else POPULAR
        for position, is_alike in zip(chosen, alike, strict=True)
    ]
