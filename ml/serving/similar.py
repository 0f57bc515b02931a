"""Which products go with one product."""

import numpy as np
from numpy.typing import NDArray

from ml.serving.tables import Neighbours, Tables

TOGETHER, ALIKE, SAME_CATEGORY = 0.6, 0.3, 0.05


def similar_scores(
    tables: Tables, anchor: int, market: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores in [0, 1] of every product, and which are bought together with `anchor`: (items,).

    Bought together weighs most, then content, then the category; what is trending decides ties.
    """
    n = len(tables.product_ids)
    together = _row(tables.co_purchase, anchor, n)
    trend = tables.market_trends[market]
    scores = TOGETHER * together + ALIKE * _row(tables.content, anchor, n)
    category = tables.category[anchor]
    if category:
        scores += SAME_CATEGORY * (tables.category == category)
    scores += 0.05 * trend / max(float(trend.max(initial=0)), 1e-9)
    return scores.astype(np.float32), together > 0


def _row(neighbours: Neighbours, anchor: int, n: int) -> NDArray[np.float32]:
    """Weights of one product's neighbours relative to the strongest, if it has any: (n,)."""
    dense = np.zeros(n, np.float32)
    if anchor >= len(neighbours.item):
        return dense
    weight = neighbours.weight[anchor]
    dense[neighbours.item[anchor]] = np.maximum(weight, 0) / max(float(weight.max(initial=0)), 1e-9)
    return dense
