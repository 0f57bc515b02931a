"""placeholder"""

from typing import Any, NamedTuple
import numpy as np
from numpy.typing import NDArray


class ItemFeatures(NamedTuple):
    codes: NDArray[np.int32]
    cardinalities: tuple[int, ...]
    dense: NDArray[np.float32]
