"""Numbers to buckets, as the ranker's fields: the same for training and serving."""

import numpy as np
from numpy.typing import NDArray

BEYOND = 1e30
"""Stands for infinity; NaN counts as 0."""
ROWS_AT_ONCE = 8_192


def bucketise(dense: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.uint8]:
    """How many edges lie below each value: (n, F). A value on an edge is not above it.

    dense: (n, F). edges: (F, at most 255), ascending in each row. Counting edge by edge over whole
    columns is four times as fast as a search by halving inside the ONNX graph.
    """
    buckets = np.empty(dense.shape, np.uint8)
    for start in range(0, len(dense), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        buckets[rows] = _count_below(finite(np.ascontiguousarray(dense[rows].T)), edges).T
    return buckets


def _count_below(columns: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(F, n) and (F, bins - 1) to (F, n)."""
    found = np.zeros(columns.shape, np.uint8)
    above = np.empty(columns.shape, bool)
    for edge in np.ascontiguousarray(edges.T)[:, :, None]:
        np.greater(columns, edge, out=above)
        np.add(found, above.view(np.uint8), out=found)
    return found


def finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if np.isfinite(values).all():
        return values
    return np.nan_to_num(values, nan=0.0, posinf=BEYOND, neginf=-BEYOND)
