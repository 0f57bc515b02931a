"""Which products go with one product, or with several."""

import numpy as np
from numpy.typing import NDArray

from ml.serving.tables import Neighbours, Tables

TOGETHER, ALIKE, SAME_CATEGORY = 0.6, 0.3, 0.05
ANYWAY = 0.05
"""Weight of the trend: it decides ties, and what comes where nothing else is known."""


def similar_scores(
    tables: Tables, anchor: int, market: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores in [0, 1] of every product, and which are bought together with `anchor`: (items,).

    Bought together weighs most, then content, then the category; what is trending decides ties.
    """
    n = len(tables.product_ids)
    together = _row(tables.co_purchase, anchor, n)
    scores = TOGETHER * together + ALIKE * _row(tables.content, anchor, n)
    category = tables.category[anchor]
    if category:
        scores += SAME_CATEGORY * (tables.category == category)
    scores += ANYWAY * relative(tables.market_trends[market])
    return scores.astype(np.float32), together > 0


def complement_scores(
    tables: Tables, anchors: NDArray[np.int64], market: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores in [0, 1] of every product, and which are bought together with an anchor: (items,).

    What is alike would replace an anchor and does not complete it, so it counts nothing. A product
    that goes with several anchors comes before one that goes as well with a single one.
    """
    n = len(tables.product_ids)
    together = np.zeros(n, np.float32)
    for anchor in anchors:
        together += _row(tables.co_purchase, anchor, n)
    scores = (1 - ANYWAY) * relative(together) + ANYWAY * relative(tables.market_trends[market])
    return scores.astype(np.float32), together > 0


def relative(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divided by the largest, where one is positive."""
    return scores / max(float(scores.max(initial=0)), 1e-9)


def _row(neighbours: Neighbours, anchor: int, n: int) -> NDArray[np.float32]:
    """Weights of one product's neighbours relative to the strongest, if it has any: (n,)."""
    dense = np.zeros(n, np.float32)
    if anchor >= len(neighbours.item):
        return dense
    weight = neighbours.weight[anchor]
    dense[neighbours.item[anchor]] = np.maximum(weight, 0) / max(float(weight.max(initial=0)), 1e-9)
    return dense
