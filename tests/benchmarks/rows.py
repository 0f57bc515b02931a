"""What a benchmark says: a figure beside the bar it is held to."""

import operator
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

COMPARISONS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}


class Row(Struct, frozen=True, kw_only=True):
    name: str
    value: float
    unit: str
    must: Literal["<=", ">="]
    bar: float

    @property
    def passed(self) -> bool:
        return COMPARISONS[self.must](self.value, self.bar)


def median(values: Sequence[float]) -> float:
    return float(np.median(values))
