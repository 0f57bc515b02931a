"""What the ranker is told about each candidate; computed here for training and serving alike."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.serving.buckets import finite
from ml.serving.shopper import HALF, PURCHASE, Shopper
from ml.serving.sources import SOURCES
from ml.serving.tables import TREND_HALF_LIVES_DAYS, Tables, attraction

DAY_S = 86_400.0
AFFINITY_HALF_LIFE_DAYS = 60.0
LATELY_HALF_LIFE_DAYS = 30.0
SHORTEST_GAP_DAYS = 0.5
NEVER_DAYS = 1000.0
"""Stands for the age of what never happened."""

DENSE_FEATURES = (
    *(f"{source} standardised" for source in SOURCES),
    *(f"{source} rank" for source in SOURCES),
    *(f"{source} score" for source in SOURCES),
    *(f"trend {days} d" for days in TREND_HALF_LIVES_DAYS),
    "rising",
    "product age",
    "price",
    "price against category",
    "price against shopper",
    "category affinity",
    "department affinity",
    "brand affinity",
    "shopper activity",
    "shopper range",
    "shopper recency",
    "times bought",
    "days since bought",
    "days since bought against rebuy gap",
    "rebuy rate",
    "personal frequency",
    "personal frequency lately",
    "days since bought against own gap",
    "days since seen",
    "seen and not bought",
    "repeat mode",
    "exposure slot",
)
CODE_FEATURES = ("department", "category", "brand")


class CandidateFeatures(NamedTuple):
    dense: NDArray[np.float32]
    """(candidates, len(DENSE_FEATURES)); finite."""
    codes: NDArray[np.int64]
    """(candidates, len(CODE_FEATURES)); 0 is unknown."""


def candidate_features(
    tables: Tables,
    shopper: Shopper,
    scores: NDArray[np.float32],
    candidates: NDArray[np.int64],
    now_s: float,
    *,
    repeat: bool,
    slot: NDArray[np.int16] | None = None,
) -> CandidateFeatures:
    """Describe `candidates` (positions) to the ranker.

    scores: (sources, items) of `source_scores`, before anything was masked. slot: (candidates,),
    where each was shown, for training alone: a request is asked before anything is shown.
    """
    found = scores[:, candidates]
    columns = [
        *_standardised(found),
        *log_ranks(found),
        *np.log1p(np.maximum(found, 0)),
        *_product_columns(tables, candidates, now_s),
        *_taste_columns(tables, shopper, candidates),
        *_activity_columns(shopper, len(candidates)),
        *_personal_columns(tables, shopper, candidates),
        np.full(len(candidates), float(repeat), np.float32),
        np.zeros(len(candidates), np.float32) if slot is None else np.log1p(slot, dtype=np.float32),
    ]
    dense = np.stack(columns).astype(np.float32, copy=False).T
    codes = np.stack(
        [tables.department[candidates], tables.category[candidates], tables.brand[candidates]],
        axis=1,
    ).astype(np.int64)
    return CandidateFeatures(finite(dense), codes)


def _standardised(found: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = found - found.mean(axis=1, keepdims=True)
    variance = (centred * centred).mean(axis=1, keepdims=True)
    return centred / np.maximum(np.sqrt(variance), 1e-9)


def log_ranks(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithm of the rank among the candidates, best first; unscored ones share the last."""
    order = np.argsort(-found, axis=1, kind="stable")
    ranks = np.empty(found.shape, np.float32)
    steps = np.broadcast_to(np.arange(1, found.shape[1] + 1, dtype=np.float32), found.shape)
    np.put_along_axis(ranks, order, steps, axis=1)
    ranks[found == 0] = found.shape[1]
    return np.log(ranks)


def _product_columns(
    tables: Tables, candidates: NDArray[np.int64], now_s: float
) -> list[NDArray[np.float32]]:
    trends = np.log1p(tables.trends[candidates]).T
    week, month = tables.trends[candidates, 1], tables.trends[candidates, 2]
    age_days = np.maximum(now_s - tables.first_seen_s[candidates], 0) / DAY_S
    price = tables.log_price[candidates]
    return [
        *trends,
        np.log((week * 4 + 1) / (month + 1)),
        np.log1p(age_days),
        price,
        price - tables.category_log_price[candidates],
    ]


def _taste_columns(
    tables: Tables, shopper: Shopper, candidates: NDArray[np.int64]
) -> list[NDArray[np.float32]]:
    """Price against what the shopper looks at, and shares of category, department and brand."""
    items = np.concatenate([shopper.items, shopper.bought])
    ages = np.concatenate([shopper.ages, shopper.bought_ages])
    kinds = np.concatenate([shopper.kinds, np.full(len(shopper.bought), PURCHASE, np.int8)])
    decay = np.power(0.5, ages / AFFINITY_HALF_LIFE_DAYS, dtype=np.float32)
    weights = (attraction(tables, kinds) * decay).astype(np.float32)
    price = tables.log_price[items]
    priced = ~np.isnan(price)
    total = float((weights * priced).sum())
    usual = float((weights[priced] * price[priced]).sum()) / total if total else np.nan
    return [
        tables.log_price[candidates] - np.float32(usual),
        *(
            _share(codes[items], weights, codes[candidates])
            for codes in (tables.category, tables.department, tables.brand)
        ),
    ]


def _share(
    mine: NDArray[np.int32], weights: NDArray[np.float32], theirs: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Share of the shopper's weight that lies in each candidate's group; 0 for the unknown."""
    size = int(max(mine.max(initial=0), theirs.max(initial=0))) + 1
    held = np.bincount(mine, weights, size)
    held[0] = 0
    return (held[theirs] / max(float(weights.sum()), 1e-9)).astype(np.float32)


def _activity_columns(shopper: Shopper, n: int) -> list[NDArray[np.float32]]:
    recency = shopper.ages[0] if shopper.ages.size else NEVER_DAYS
    values = (
        np.log1p(shopper.bought_times.sum()),
        np.log1p(len(shopper.bought)),
        np.log1p(recency),
    )
    return [np.full(n, value, np.float32) for value in values]


def _personal_columns(
    tables: Tables, shopper: Shopper, candidates: NDArray[np.int64]
) -> list[NDArray[np.float32]]:
    """What this shopper did with each candidate before."""
    n = len(tables.product_ids)
    rhythm = np.where(
        shopper.bought_times > 1,
        (shopper.bought_first_ages - shopper.bought_ages) / np.maximum(shopper.bought_times - 1, 1),
        0,
    )
    times, since, strength, own_gap = (
        _spread_out(values, shopper.bought, n, otherwise)[candidates]
        for values, otherwise in (
            (shopper.bought_times, 0.0),
            (shopper.bought_ages, NEVER_DAYS),
            (shopper.bought_strength, 0.0),
            (rhythm, 0.0),
        )
    )
    seen = _spread_out(shopper.ages[::-1], shopper.items[::-1], n, NEVER_DAYS)[candidates]
    purchases = shopper.kinds == PURCHASE
    decayed = np.power(HALF, shopper.ages[purchases] / LATELY_HALF_LIFE_DAYS)
    lately = np.bincount(shopper.items[purchases], decayed, n)[candidates]
    gap = np.maximum(tables.rebuy_days[candidates], 1.0)
    return [
        np.log1p(times),
        np.log1p(since),
        np.log1p(since / gap),
        tables.rebuy_rate[candidates],
        strength,
        np.log1p(lately),
        np.log1p(since / np.where(own_gap > SHORTEST_GAP_DAYS, own_gap, gap)),
        np.log1p(seen),
        ((seen < NEVER_DAYS) & (times == 0)).astype(np.float32),
    ]


def _spread_out(
    values: NDArray[np.floating], items: NDArray[np.int32], n: int, otherwise: float
) -> NDArray[np.float32]:
    """(n,): each value at its item, the last one where an item comes twice."""
    spread = np.full(n, otherwise, np.float32)
    spread[items] = values
    return spread
