"""The last stage: promoted products first, then by score."""

import numpy as np
from numpy.typing import NDArray


def order(
    scores: NDArray[np.float32],
    promoted: NDArray[np.bool_],
    threshold: float,
    limit: int,
    worth: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Best `limit` positions and their scores; a promoted one scored >= `threshold` counts 1.0.

    scores: (candidates,) in [0, 1]. promoted: (candidates,). worth: (candidates,), with which best
    means the most of score times worth, while the scores stay what they are. Promoted products
    keep their order among themselves. Ties break on position, so equal inputs give equal output.
    """
    lifted = promoted & (scores >= threshold)
    final = np.where(lifted, np.float32(1.0), scores)
    value = scores if worth is None else scores * worth
    chosen = np.lexsort((np.arange(len(scores)), -value, ~lifted))[:limit]
    return chosen, final[chosen]
