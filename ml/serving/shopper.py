"""One shopper at one moment, as positions and ages: the same for training and serving."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.interactions import KIND_INDEX, InteractionLog
from ml.serving.request import FREQUENCY_HALF_LIFE_S, Interaction, Mode, Purchase
from ml.serving.traits import MOST_TRAITS

LONGEST_HISTORY = 100
MOST_BOUGHT = 2000
DAY_S = 86_400.0
LONGEST_GAP_S = 7 * DAY_S
UNSEEN_KINDS = frozenset({"impression", "search", "dwell"})
"""Said about a product by the page or beside another event, not by the shopper's choice."""
PURCHASE, REFUND = KIND_INDEX["purchase"], KIND_INDEX["refund"]
DISMISS = KIND_INDEX["dismiss"]
FREQUENCY_HALF_LIFE_DAYS = FREQUENCY_HALF_LIFE_S / DAY_S
HALF = np.float32(0.5)
NO_TRAITS = np.zeros(MOST_TRAITS, np.int32)


class Shopper(NamedTuple):
    """Ages are days before the moment of the request."""

    items: NDArray[np.int32]
    """(h,) last interactions, newest first, at most LONGEST_HISTORY."""
    kinds: NDArray[np.int8]
    ages: NDArray[np.float32]
    bought: NDArray[np.int32]
    """(b,) distinct products bought, most recent first, at most MOST_BOUGHT."""
    bought_times: NDArray[np.float32]
    """Purchases less refunds, at least 1."""
    bought_ages: NDArray[np.float32]
    """Of the last purchase."""
    bought_first_ages: NDArray[np.float32]
    bought_strength: NDArray[np.float32]
    """Purchases less refunds, each counting half after 180 days; never negative."""
    market: int
    hour: int
    weekday: int
    traits: NDArray[np.int32]
    """(MOST_TRAITS,), rows of the release's traits; 0 is none."""
    device: int
    """Position in DEVICES."""


def shopper_of_request(
    recent: list[Interaction],
    bought: list[Purchase],
    market: int,
    now_s: float,
    cut_s: float,
    index: dict[str, int],
    traits: NDArray[np.int32] = NO_TRAITS,
    device: int = 0,
) -> Shopper:
    """Products the release does not know are left out. cut_s: when the release stopped learning."""
    seen = [
        (position, i)
        for i in recent
        if i.kind not in UNSEEN_KINDS and (position := index.get(i.product_id)) is not None
    ]
    owned = [(position, p) for p in bought if (position := index.get(p.product_id)) is not None][
        :MOST_BOUGHT
    ]
    del seen[LONGEST_HISTORY:]
    bought_ages = _ages(now_s, cut_s, [p.last_s for _, p in owned])
    strength = np.array([p.strength for _, p in owned], np.float32)
    return Shopper(
        items=np.array([position for position, _ in seen], np.int32),
        kinds=np.array([KIND_INDEX[i.kind] for _, i in seen], np.int8),
        ages=_ages(now_s, cut_s, [i.occurred_at_s for _, i in seen]),
        bought=np.array([position for position, _ in owned], np.int32),
        bought_times=np.array([p.times for _, p in owned], np.float32),
        bought_ages=bought_ages,
        bought_first_ages=_ages(now_s, cut_s, [p.first_s for _, p in owned]),
        bought_strength=strength * np.power(HALF, bought_ages / FREQUENCY_HALF_LIFE_DAYS),
        market=market,
        hour=int(now_s // 3600 % 24),
        weekday=int((now_s // DAY_S + 3) % 7),
        traits=traits,
        device=device,
    )


def may_see(shopper: Shopper, mode: Mode, n_items: int) -> NDArray[np.bool_]:
    """(items,): not what was dismissed last nor, in the mode for new products, what is owned."""
    allowed = np.ones(n_items, bool)
    if mode == "new":
        allowed[shopper.bought] = False
    if (shopper.kinds == DISMISS).any():
        items, newest = np.unique(shopper.items, return_index=True)
        allowed[items[shopper.kinds[newest] == DISMISS]] = False
    return allowed


def since_cut_s(now_s: float, cut_s: float) -> float:
    """Seconds that passed for the shop since its release stopped learning, at most LONGEST_GAP.

    A release that is not renewed for long would otherwise make its own statistics, and with them
    everything shoppers did, look equally ancient.
    """
    return min(max(now_s - cut_s, 0.0), LONGEST_GAP_S)


def _ages(now_s: float, cut_s: float, times_s: list[float]) -> NDArray[np.float32]:
    """Days; what came after `cut_s` is younger than all that came before."""
    gap_s = since_cut_s(now_s, cut_s)
    times = np.array(times_s, np.float64)
    ages_s = np.where(times >= cut_s, np.minimum(now_s - times, gap_s), cut_s - times + gap_s)
    return (np.maximum(ages_s, 0) / DAY_S).astype(np.float32)


class ShopperBook:
    """Shoppers of a log at one moment. Built once, then one slice per shopper."""

    def __init__(self, log: InteractionLog, traits: NDArray[np.int32], now_s: int) -> None:
        """`log` holds events before `now_s` only. traits: (shoppers, MOST_TRAITS)."""
        unseen = [KIND_INDEX[kind] for kind in UNSEEN_KINDS]
        log = log.rows(~np.isin(log.kind, unseen))
        order = np.lexsort((-log.ts, log.shopper))
        self._log = log.rows(order)
        self._starts = np.searchsorted(self._log.shopper, np.arange(len(traits) + 1))
        self._traits = traits
        self._now_s = now_s

    def shopper(self, position: int, market: int) -> Shopper:
        start, end = self._starts[position], self._starts[position + 1]
        mine = self._log.rows(slice(start, end))
        ages = ((self._now_s - mine.ts) / DAY_S).astype(np.float32)
        bought = _bought(mine, ages)
        newest = slice(0, LONGEST_HISTORY)
        return Shopper(
            items=mine.item[newest],
            kinds=mine.kind[newest],
            ages=ages[newest],
            bought=bought.items,
            bought_times=bought.times,
            bought_ages=bought.last_ages,
            bought_first_ages=bought.first_ages,
            bought_strength=bought.strength,
            market=market,
            hour=int(self._now_s // 3600 % 24),
            weekday=int((self._now_s // DAY_S + 3) % 7),
            traits=self._traits[position],
            device=int(mine.device[0]) if len(mine.device) else 0,
        )


class Bought(NamedTuple):
    """One row per product owned, the last bought first."""

    items: NDArray[np.int32]
    times: NDArray[np.float32]
    last_ages: NDArray[np.float32]
    first_ages: NDArray[np.float32]
    strength: NDArray[np.float32]


def _bought(mine: InteractionLog, ages: NDArray[np.float32]) -> Bought:
    """Purchases less refunds; `mine` is one shopper's, newest first."""
    trade = (mine.kind == PURCHASE) | (mine.kind == REFUND)
    bought = mine.kind[trade] == PURCHASE
    sign, age = np.where(bought, 1.0, -1.0), ages[trade]
    items, inverse = np.unique(mine.item[trade], return_inverse=True)
    times = np.bincount(inverse, sign, len(items))
    strength = np.bincount(inverse, sign * 0.5 ** (age / FREQUENCY_HALF_LIFE_DAYS), len(items))
    last, first = np.full(len(items), np.inf), np.zeros(len(items))
    np.minimum.at(last, inverse[bought], age[bought])
    np.maximum.at(first, inverse[bought], age[bought])
    kept = np.flatnonzero((times > 0) & np.isfinite(last))
    kept = kept[np.lexsort((items[kept], last[kept]))][:MOST_BOUGHT]
    return Bought(
        items[kept].astype(np.int32),
        times[kept].astype(np.float32),
        last[kept].astype(np.float32),
        first[kept].astype(np.float32),
        np.maximum(strength[kept], 0).astype(np.float32),
    )
