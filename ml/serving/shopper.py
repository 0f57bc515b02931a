"""One shopper at one moment, as positions and ages: the same for training and serving."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.interactions import KIND_INDEX, InteractionLog
from ml.serving.request import Interaction, Purchase

LONGEST_HISTORY = 100
MOST_BOUGHT = 2000
DAY_S = 86_400.0
LONGEST_GAP_S = 7 * DAY_S
UNSEEN_KINDS = frozenset({"impression", "search", "dwell"})
"""Said about a product by the page or beside another event, not by the shopper's choice."""
PURCHASE = KIND_INDEX["purchase"]


class Shopper(NamedTuple):
    """Ages are days before the moment of the request."""

    items: NDArray[np.int32]
    """(h,) last interactions, newest first, at most LONGEST_HISTORY."""
    kinds: NDArray[np.int8]
    ages: NDArray[np.float32]
    bought: NDArray[np.int32]
    """(b,) distinct products bought, most recent first, at most MOST_BOUGHT."""
    bought_times: NDArray[np.float32]
    bought_ages: NDArray[np.float32]
    market: int
    hour: int
    weekday: int


def shopper_of_request(
    recent: list[Interaction],
    bought: list[Purchase],
    market: int,
    now_s: float,
    cut_s: float,
    index: dict[str, int],
) -> Shopper:
    """Products the release does not know are left out. cut_s: when the release stopped learning."""
    seen = [
        (position, KIND_INDEX[i.kind], i.occurred_at_s)
        for i in recent
        if i.kind not in UNSEEN_KINDS and (position := index.get(i.product_id)) is not None
    ]
    owned = [
        (position, p.times, p.last_s)
        for p in bought
        if (position := index.get(p.product_id)) is not None
    ]
    items, kinds, times_s = _columns(seen[:LONGEST_HISTORY])
    bought_items, bought_times, last_s = _columns(owned[:MOST_BOUGHT])
    return Shopper(
        items=np.array(items, np.int32),
        kinds=np.array(kinds, np.int8),
        ages=_ages(now_s, cut_s, times_s),
        bought=np.array(bought_items, np.int32),
        bought_times=np.array(bought_times, np.float32),
        bought_ages=_ages(now_s, cut_s, last_s),
        market=market,
        hour=int(now_s // 3600 % 24),
        weekday=int((now_s // DAY_S + 3) % 7),
    )


def _columns(
    rows: list[tuple[int, int, float]],
) -> tuple[Sequence[int], Sequence[int], Sequence[float]]:
    first, second, third = zip(*rows, strict=True) if rows else ((), (), ())
    return first, second, third


def since_cut_s(now_s: float, cut_s: float) -> float:
    """Seconds that passed for the shop since its release stopped learning, at most LONGEST_GAP.

    A release that is not renewed for long would otherwise make its own statistics, and with them
    everything shoppers did, look equally ancient.
    """
    return min(max(now_s - cut_s, 0.0), LONGEST_GAP_S)


def _ages(now_s: float, cut_s: float, times_s: Sequence[float]) -> NDArray[np.float32]:
    """Days; what came after `cut_s` is younger than all that came before."""
    gap_s = since_cut_s(now_s, cut_s)
    times = np.array(times_s, np.float64)
    ages_s = np.where(times >= cut_s, np.minimum(now_s - times, gap_s), cut_s - times + gap_s)
    return (np.maximum(ages_s, 0) / DAY_S).astype(np.float32)


class ShopperBook:
    """Shoppers of a log at one moment. Built once, then one slice per shopper."""

    def __init__(self, log: InteractionLog, n_shoppers: int, now_s: int) -> None:
        """`log` holds events before `now_s` only."""
        unseen = [KIND_INDEX[kind] for kind in UNSEEN_KINDS]
        log = log.rows(~np.isin(log.kind, unseen))
        order = np.lexsort((-log.ts, log.shopper))
        self._log = log.rows(order)
        self._starts = np.searchsorted(self._log.shopper, np.arange(n_shoppers + 1))
        self._now_s = now_s

    def shopper(self, position: int, market: int) -> Shopper:
        start, end = self._starts[position], self._starts[position + 1]
        mine = self._log.rows(slice(start, end))
        ages = ((self._now_s - mine.ts) / DAY_S).astype(np.float32)
        bought, times, last = _purchases(mine, ages)
        newest = slice(0, LONGEST_HISTORY)
        return Shopper(
            items=mine.item[newest],
            kinds=mine.kind[newest],
            ages=ages[newest],
            bought=bought,
            bought_times=times,
            bought_ages=last,
            market=market,
            hour=int(self._now_s // 3600 % 24),
            weekday=int((self._now_s // DAY_S + 3) % 7),
        )


def _purchases(
    mine: InteractionLog, ages: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    is_purchase = mine.kind == PURCHASE
    items, first, times = np.unique(mine.item[is_purchase], return_index=True, return_counts=True)
    newest_first = np.argsort(first)[:MOST_BOUGHT]
    return (
        items[newest_first].astype(np.int32),
        times[newest_first].astype(np.float32),
        ages[is_purchase][first[newest_first]],
    )
