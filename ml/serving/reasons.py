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
    share = np.maximum(scores[:, chosen], 0) / strongest
    share[SOURCES.index("two-tower")] *= 0.3
    share[SOURCES.index("season")] *= 0.5
    items, weights = profile(shopper)
    last, last_weights = last_viewed(shopper)
    reasons: list[Reason] = []
    for column, position in enumerate(chosen):
        source = SOURCES[int(share[:, column].argmax())] if share[:, column].any() else "season"
        neighbours = _neighbours_of(tables, source)
        if neighbours is None:
            reasons.append(Reason(CODES[source]))
            continue
        behind = (last, last_weights) if source == "last-viewed" else (items, weights)
        because = strongest_link(neighbours, *behind, int(position))
        named = None if because is None else tables.product_ids[because]
        reasons.append(Reason(CODES[source], named))
    return reasons


def _neighbours_of(tables: Tables, source: str) -> Neighbours | None:
    if source == "ease":
        return tables.ease
    if source in {"item-knn", "last-viewed"}:
        return tables.co_purchase
    return tables.content if source == "content" else None


def strongest_link(
    neighbours: Neighbours,
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    position: int,
) -> int | None:
    """The one of `items` that contributes most to `position`, if any does."""
    reached = neighbours.item[items] == position
    strength = np.where(reached, neighbours.weight[items] * weights[:, None], 0).sum(axis=1)
    if not strength.size or strength.max() <= 0:
        return None
    return int(items[strength.argmax()])


def similar_reasons(
    tables: Tables, anchor: int, chosen: NDArray[np.int64], together: NDArray[np.bool_]
) -> list[str]:
    """Reason codes for the placement `similar`."""
    alike = np.isin(chosen, tables.content.item[anchor][tables.content.weight[anchor] > 0])
    return [
        BOUGHT_TOGETHER if together[position] else SIMILAR if is_alike else POPULAR
        for position, is_alike in zip(chosen, alike, strict=True)
    ]
