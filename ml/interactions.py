"""One shop's behaviour as arrays, in the order of time."""

from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ml.dataset import EventType

KINDS: tuple[str, ...] = get_args(EventType)
"""Event types; their position is `InteractionLog.kind`."""
KIND_INDEX = {kind: index for index, kind in enumerate(KINDS)}
KIND_WEIGHT = np.array(
    [
        {
            "view": 0.2,
            "click": 0.2,
            "dwell": 0.1,
            "add_to_cart": 0.6,
            "remove_from_cart": -0.3,
            "wishlist": 0.5,
            "purchase": 1.0,
            "refund": -1.0,
            "dismiss": -0.5,
        }.get(kind, 0.0)
        for kind in KINDS
    ],
    np.float32,
)
"""How much one event of each kind speaks for its product where a shop does not say otherwise."""


class InteractionLog(NamedTuple):
    """Every array has shape (events,), sorted by `ts`; `ml.shop` says how ties are."""

    shopper: NDArray[np.int32]
    item: NDArray[np.int32]
    kind: NDArray[np.int8]
    ts: NDArray[np.int64]
    """Unix seconds."""
    market: NDArray[np.int16]
    """0 is unknown."""
    device: NDArray[np.int8]
    """Position in `ml.serving.traits.DEVICES`."""
    weight: NDArray[np.float32]
    """How much the event speaks for the item; negative speaks against it."""

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "InteractionLog":
        return InteractionLog(
            shopper=self.shopper[chosen],
            item=self.item[chosen],
            kind=self.kind[chosen],
            ts=self.ts[chosen],
            market=self.market[chosen],
            device=self.device[chosen],
            weight=self.weight[chosen],
        )

    def before(self, cut_s: int) -> "InteractionLog":
        """Events strictly before `cut_s`."""
        return self.rows(slice(0, int(np.searchsorted(self.ts, cut_s, side="left"))))

    def between(self, start_s: int, end_s: int) -> "InteractionLog":
        """Events in [start_s, end_s)."""
        start, end = np.searchsorted(self.ts, [start_s, end_s], side="left")
        return self.rows(slice(int(start), int(end)))
