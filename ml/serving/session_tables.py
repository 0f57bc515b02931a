"""What a release knows about visits, as arrays."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.serving.neighbours import Neighbours
from ml.serving.session_network import SessionNetwork


class NeighbourSettings(NamedTuple):
    """How visits alike are found and what they say. Zero leaves a part out."""

    sampled: int = 1000
    """Newest visits looked at per product."""
    nearest: int = 300
    """Of those, the visits most alike that vote."""
    position_steps: float = 3.5
    """A product `n` steps back counts exp(-n / this); zero: linearly less, as in V-SKNN."""
    distance_steps: float = 1.5
    """A vote falls off as exp(-steps / this) from the last product that both visits share."""
    rarity: float = 0.0
    """Rare products count (1 + this * idf)."""


V_SKNN = NeighbourSettings(nearest=200, position_steps=0.0, distance_steps=0.0, rarity=1.0)
STAN = NeighbourSettings(rarity=0.5)


class Mix(NamedTuple):
    """Weights of the three parts; each part is a distribution over all products."""

    rules: float = 0.0
    neighbours: float = 0.0
    network: float = 0.0
    again: float = 1.0
    """What the product just looked at keeps of its score."""


class Sessions(NamedTuple):
    """What a shop's visits teach. Without visits nothing is known, and every score is zero."""

    serves: bool
    """Whether it answers anonymous visits."""
    pause_s: float
    """A longer pause ends a visit; zero: never."""
    source: Mix
    """What the ranker's candidate source goes by."""
    champion: Mix
    """What answers an anonymous visit."""
    settings: NeighbourSettings
    visit_start: NDArray[np.int32]
    """(visits + 1,), where each visit begins in `visit_item`; the visits ascend in time."""
    visit_item: NDArray[np.int32]
    """(clicks,), distinct products of each visit in the order in which each was seen last."""
    item_start: NDArray[np.int32]
    """(items + 1,), where the clicks of each product begin in `item_click`."""
    item_click: NDArray[np.int32]
    """(clicks,), positions in `visit_item`, ascending for each product."""
    click_visit: NDArray[np.int32]
    """(clicks,), the visit each position of `visit_item` belongs to."""
    rules: Neighbours
    """(items, K), what followed each product."""
    vectors: NDArray[np.float32]
    """(items, dim), L2-normalised; dim 0 where no network serves."""
    network: SessionNetwork | None


NOTHING = Sessions(
    serves=False,
    pause_s=0.0,
    source=Mix(),
    champion=Mix(),
    settings=STAN,
    visit_start=np.zeros(1, np.int32),
    visit_item=np.zeros(0, np.int32),
    item_start=np.zeros(1, np.int32),
    item_click=np.zeros(0, np.int32),
    click_visit=np.zeros(0, np.int32),
    rules=Neighbours(np.zeros((0, 0), np.int32), np.zeros((0, 0), np.float32)),
    vectors=np.zeros((0, 0), np.float32),
    network=None,
)
"""No visits were learned from."""
