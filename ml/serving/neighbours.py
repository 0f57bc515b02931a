"""Products that go with each product."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Neighbours(NamedTuple):
    """Best neighbours of each product, strongest first. Short rows are padded with weight 0."""

    item: NDArray[np.integer]
    """(items, K), positions of products; in a release as few bytes as they need."""
    weight: NDArray[np.float32]
    """(items, K)."""
