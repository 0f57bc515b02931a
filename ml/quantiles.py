"""Numbers to buckets that hold equally many of them."""

import numpy as np
from numpy.typing import NDArray

ROWS_LOOKED_AT = 100_000
BEYOND = 1e30
"""Stands for infinity; NaN counts as 0. `ml.networks.RawInputs` does the same."""


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


def bucketise(dense: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.uint8]:
    """How many edges lie below each value: (n, F). A value on an edge is not above it."""
    buckets = np.empty(dense.shape, np.uint8)
    for feature, upper in enumerate(edges):
        buckets[:, feature] = np.searchsorted(upper, finite(dense[:, feature]), side="left")
    return buckets


def finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num(values, nan=0.0, posinf=BEYOND, neginf=-BEYOND)
