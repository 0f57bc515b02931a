"""What a ranker learns to predict, by what the shop wants more of."""

from typing import NamedTuple

import numpy as np

from ml.interactions import KIND_INDEX, InteractionLog
from ml.release import Objective

ENOUGH_EVENTS = 2_500
STRONGEST_FIRST = ("purchase", "add_to_cart", "click", "view")


class Target(NamedTuple):
    """The event that makes a candidate a positive."""

    event: int
    """Position in `ml.interactions.KINDS`."""
    kept: bool = False
    """Whether a later refund takes the choice back."""


def target_of(objective: Objective, log: InteractionLog) -> Target:
    """auto: the strongest kind of event the shop has enough of, purchases where it has none.

    order: purchases that are kept. net-revenue: purchases, since `Tables.return_rate` already
    counts what comes back. click: views where the shop records no clicks.
    """
    if objective == "order":
        return Target(KIND_INDEX["purchase"], kept=True)
    if objective == "net-revenue":
        return Target(KIND_INDEX["purchase"])
    names = ("click", "view") if objective == "click" else STRONGEST_FIRST
    for name in names:
        if np.count_nonzero(log.kind == KIND_INDEX[name]) >= ENOUGH_EVENTS:
            return Target(KIND_INDEX[name])
    return Target(KIND_INDEX[names[0]])
