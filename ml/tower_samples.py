"""Training samples of the two towers: a choice, and what the shopper had done before it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.interactions import KIND_INDEX, InteractionLog
from ml.serving.release import TOWER_HISTORY
from ml.serving.shopper import UNSEEN_KINDS

DAY_S = 86_400
RECENCY_HALF_LIFE_DAYS = 20.0
REPEAT_SHARE = 0.3
"""How often a choice the shopper had made before is drawn, beside a first one."""


class Batch(NamedTuple):
    """Inputs as the exported query tower takes them, and the choice they led to."""

    recent_items: NDArray[np.int64]
    """(B, TOWER_HISTORY), position + 1, newest first, 0 is padding."""
    recent_ages: NDArray[np.float32]
    """Days before the choice."""
    recent_kinds: NDArray[np.int64]
    context: NDArray[np.int64]
    """(B, 4): hour, weekday, market, device."""
    traits: NDArray[np.int64]
    """(B, MOST_TRAITS)."""
    target: NDArray[np.int64]
    """(B,), position of the chosen product."""


INPUTS = len(Batch._fields) - 1


def one_sided(batch: Batch, share: float, rng: np.random.Generator) -> Batch:
    """With device and traits hidden in a `share` of the rows, and the history in as many others.

    Either must carry an answer alone: most visitors tell nothing, and a new customer did nothing.
    """
    chance = rng.random(len(batch.target))
    untold, fresh = chance < share, chance > 1 - share
    context = batch.context.copy()
    context[untold, -1] = 0
    return batch._replace(
        context=context,
        traits=np.where(untold[:, None], 0, batch.traits),
        recent_items=np.where(fresh[:, None], 0, batch.recent_items),
    )


class TowerSamples:
    """Every event that speaks for a product is a sample; its history is strictly earlier.

    Events of one shopper at one second are one basket: none of them is history of another.
    """

    def __init__(self, log: InteractionLog, traits: NDArray[np.int32]) -> None:
        """traits: (shoppers, MOST_TRAITS)."""
        unseen = [KIND_INDEX[kind] for kind in UNSEEN_KINDS]
        log = log.rows(~np.isin(log.kind, unseen))
        self._log = log.rows(np.lexsort((log.ts, log.shopper)))
        self._traits = traits
        shopper, ts = self._log.shopper, self._log.ts
        n = len(ts)
        new_shopper = np.r_[True, shopper[1:] != shopper[:-1]]
        new_basket = new_shopper | np.r_[True, ts[1:] != ts[:-1]]
        position = np.arange(n)
        self._shopper_start = np.maximum.accumulate(np.where(new_shopper, position, 0))
        self._basket_start = np.maximum.accumulate(np.where(new_basket, position, 0))
        self.targets = np.flatnonzero(self._log.weight > 0)
        age_days = (ts.max(initial=0) - ts[self.targets]) / DAY_S
        chances = self._log.weight[self.targets] * 0.5 ** (age_days / RECENCY_HALF_LIFE_DAYS)
        chances[~_is_first(self._log)[self.targets]] *= REPEAT_SHARE
        self._chances = chances / max(float(chances.sum()), 1e-12)

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """`count` targets with replacement: recent and first choices more often."""
        return rng.choice(self.targets, count, p=self._chances)

    def draw_evenly(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """`count` distinct targets, each as likely as any other."""
        return rng.choice(self.targets, count, replace=False)

    def item_counts(self, targets: NDArray[np.int64], n_items: int) -> NDArray[np.float64]:
        return np.bincount(self._log.item[targets], minlength=n_items).astype(np.float64)

    def batch(self, targets: NDArray[np.int64]) -> Batch:
        log = self._log
        steps = np.arange(1, TOWER_HISTORY + 1)
        rows = self._basket_start[targets][:, None] - steps
        known = rows >= self._shopper_start[targets][:, None]
        rows = np.where(known, rows, 0)
        ts = log.ts[targets]
        ages = (ts[:, None] - log.ts[rows]) / DAY_S
        context = [ts // 3600 % 24, (ts // DAY_S + 3) % 7, log.market[targets], log.device[targets]]
        return Batch(
            recent_items=np.where(known, log.item[rows] + 1, 0).astype(np.int64),
            recent_ages=np.where(known, ages, 0).astype(np.float32),
            recent_kinds=np.where(known, log.kind[rows], 0).astype(np.int64),
            context=np.stack(context, axis=1).astype(np.int64),
            traits=self._traits[log.shopper[targets]].astype(np.int64),
            target=log.item[targets].astype(np.int64),
        )


def _is_first(log: InteractionLog) -> NDArray[np.bool_]:
    """Whether the event is its shopper's first with its product; sorted by shopper and time."""
    pairs = log.shopper.astype(np.int64) * (int(log.item.max(initial=0)) + 1) + log.item
    first = np.zeros(len(pairs), bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    return first
