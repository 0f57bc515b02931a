"""What the engine is asked and what it answers."""

from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ml.serving.traits import Device

Mode = Literal["new", "repeat"]
"""new: what the shopper has not bought yet. repeat: bought products may come again."""
MODES: tuple[Mode, Mode] = ("new", "repeat")
Ranking = Literal["shopper", "trending", "popularity", "habit"]
"""shopper: what suits who asks. trending, popularity: the same for everybody in a market. habit:
what the shopper bought and needs again by now."""
FREQUENCY_HALF_LIFE_S = 180 * 86_400
"""A purchase counts half towards a shopper's habits after so long."""


def strength_at(moment_s: float, happened_s: float) -> float:
    """What a purchase of `happened_s` counts at `moment_s`; strengths of one moment add up."""
    return 0.5 ** ((moment_s - happened_s) / FREQUENCY_HALF_LIFE_S)


class Interaction(Struct, frozen=True, kw_only=True):
    """One thing a shopper did, at most `LONGEST_HISTORY` of them, newest first."""

    product_id: str
    kind: str
    """Event type: view, add_to_cart, purchase, …"""
    occurred_at_s: float
    """Unix seconds."""


class Purchase(Struct, frozen=True, kw_only=True):
    """One product a shopper bought, however often."""

    product_id: str
    times: int
    """Purchases less refunds, at least 1."""
    last_s: float
    first_s: float
    strength: float
    """Purchases less refunds as of `last_s`: see `strength_at`."""


class EngineRequest(Struct, frozen=True, kw_only=True):
    """A whole request: who (if known), where, what may be shown, how to order it."""

    now_s: float
    limit: int
    mode: Mode = "new"
    recent: list[Interaction] = []
    bought: list[Purchase] = []
    ranked_by: Ranking = "shopper"
    similar_to: str | None = None
    """The product whose neighbours are asked for, instead of `ranked_by`."""
    goes_with: list[str] = []
    """Products whose complements are asked for, none of these among them, instead of either."""
    among: list[str] | None = None
    """The only products to answer with; None: all."""
    market: str | None = None
    traits: list[str] = []
    """What the shop tells of the customer: see `ml.serving.traits`."""
    device: Device | None = None
    blocked: NDArray[np.bool_] | None = None
    """(items,) in the order of `LoadedRelease.product_ids`: true may not be shown."""
    promoted: frozenset[str] = frozenset()
    promotion_threshold: float = 0.5


class UnknownProduct(Exception):
    """The release knows none of the products that the answer is to rest on."""


class ScoredItem(Struct, frozen=True, kw_only=True):
    product_id: str
    score: float
    """Between 0 and 1; 1.0 is promoted. Comparable inside one answer only, unless
    `EngineAnswer.calibrated`."""
    reason: str
    """Code of what speaks most for the product: bought-together, similar, trending, …"""
    because_of: str | None = None
    """The product the reason rests on."""


class EngineAnswer(Struct, frozen=True, kw_only=True):
    items: list[ScoredItem]
    """Best first; fewer than asked for only when fewer may be shown."""
    served_by: str
    """The rung that answered: own-models, session, content, or the name of a classical order."""
    release_id: str
    calibrated: bool
    stage_us: dict[str, int]
    """Microseconds spent in retrieve, filter, score, order."""
