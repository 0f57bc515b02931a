"""Which of several ways to leave the usual one for: only one that is surely better."""

import numpy as np
from numpy.typing import NDArray

from ml.release import Tried

SURE_ERRORS = 2.0
"""Standard errors of its lead by which a way must be ahead: the best of a few leads by chance."""
FEWEST_SHOPPERS = 100


def compare(merits: dict[str, NDArray[np.float64]]) -> list[Tried]:
    """Each way beside the first, which is the usual one.

    merits: by name of the way, (shoppers,), higher is better, the same shoppers in the same order.
    """
    usual = next(iter(merits.values()))
    rows: list[Tried] = []
    for name, merit in merits.items():
        lead = merit - usual
        error = float(lead.std() / max(len(lead), 1) ** 0.5) if lead.size else 0.0
        mean, figure = (float(np.mean(one)) if one.size else 0.0 for one in (lead, merit))
        rows.append(Tried(name=name, figure=figure, lead=mean, error=error))
    return rows


def surely_best(tried: list[Tried], shoppers: int) -> str:
    """The way with the greatest lead if that is sure, else the first."""
    best = max(tried, key=lambda row: row.lead)  # the first of equals
    sure = shoppers >= FEWEST_SHOPPERS and best.lead > SURE_ERRORS * best.error
    return best.name if sure else tried[0].name
