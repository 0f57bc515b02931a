"""A matrix that is zero almost everywhere."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class SparseRows(NamedTuple):
    """A matrix with few entries, row after row."""

    starts: NDArray[np.int64]
    """(rows + 1,): where the entries of each row begin; the last is their number."""
    column: NDArray[np.int32]
    """(entries,)."""
    weight: NDArray[np.float32]
    """(entries,)."""
