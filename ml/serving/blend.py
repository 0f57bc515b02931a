"""The blend: candidates ordered by their weighted ranks in the simple sources; no network."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ml.serving.sources import SOURCES

BLEND = "blend"
SIMPLE = tuple(source for source in SOURCES if source != "two-tower")
"""What a blend may weigh: everything that no network was trained for."""
PRIOR: Mapping[str, Mapping[str, float]] = {
    "new": {
        "ease": 0.5,
        "item-knn": 0.5,
        "last-viewed": 0.2,
        "content": 0.1,
        "trending": 0.5,
        "season": 0.3,
        "popular": 0.5,
    },
    "repeat": {
        "ease": 0.2,
        "item-knn": 0.2,
        "trending": 0.2,
        "popular": 0.2,
        "buy-again": 2.0,
    },
}
"""Weights by mode where nothing is known of a shop: no source alone, and habits before all."""


def blended(ranks: NDArray[np.float32], weights: Mapping[str, float]) -> NDArray[np.float32]:
    """Scores of candidates, higher is better: (candidates,).

    ranks: (sources, candidates), the logarithm of the rank in each source. A weighted sum of
    reciprocal ranks is the usual way (Cormack et al. 2009, SIGIR); logarithms let a shop's own
    choices fit the weights as those of a conditional logit.
    """
    row = np.array([weights.get(source, 0.0) for source in SOURCES], np.float32)
    return -(row @ ranks)
