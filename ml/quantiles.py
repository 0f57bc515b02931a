"""Edges of buckets that hold equally many numbers."""

import numpy as np
from numpy.typing import NDArray

from ml.serving.buckets import finite

ROWS_LOOKED_AT = 100_000


def fit_quantiles(
    dense: NDArray[np.float32], bins: int = 32, seed: int = 17
) -> NDArray[np.float32]:
    """Upper edges of all buckets but the last: (F, bins - 1), ascending in each row.

    dense: (n, F). Edges coincide where one value is frequent; the buckets between stay empty.
    """
    rows = np.arange(len(dense))
    if len(rows) > ROWS_LOOKED_AT:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ROWS_LOOKED_AT, replace=False))
    quantiles = np.quantile(finite(dense[rows]), np.linspace(0, 1, bins + 1)[1:-1], axis=0)
    return np.ascontiguousarray(quantiles.T, np.float32)
