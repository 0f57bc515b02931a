"""Counts of a shop's behaviour up to a moment: trends, ages, re-buying, prices by category."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from ml.interactions import KIND_INDEX, InteractionLog
from ml.serving.encoding import CATEGORY_SEPARATOR
from ml.serving.tables import TREND_HALF_LIVES_DAYS

DAY_S = 86_400
REBUY_PRIOR_BUYERS = 10.0
RETURN_PRIOR_PURCHASES = 20.0
SOONEST_REBUY_S = DAY_S // 2


class CatalogueCodes(NamedTuple):
    """(items,) each; 0 is unknown."""

    department: NDArray[np.int32]
    category: NDArray[np.int32]
    brand: NDArray[np.int32]
    names: dict[str, list[str]]
    """What each code stands for, by field."""


def catalogue_codes(products: pa.Table) -> CatalogueCodes:
    paths = [
        [part.strip() for part in str(value).split(CATEGORY_SEPARATOR)] if value else []
        for value in products["category"].to_pylist()
    ]
    departments = [path[0] if path else None for path in paths]
    categories = [" > ".join(path) if path else None for path in paths]
    brands = [str(value) if value else None for value in products["brand"].to_pylist()]
    coded = {
        "department": _codes(departments),
        "category": _codes(categories),
        "brand": _codes(brands),
    }
    return CatalogueCodes(
        *(coded[field][0] for field in ("department", "category", "brand")),
        names={field: names for field, (_, names) in coded.items()},
    )


def _codes(values: list[str | None]) -> tuple[NDArray[np.int32], list[str]]:
    names = sorted({value for value in values if value})
    position = {name: code for code, name in enumerate(names, start=1)}
    return np.array([position.get(value or "", 0) for value in values], np.int32), ["", *names]


def log_prices(products: pa.Table) -> NDArray[np.float32]:
    cents = products["price_cents"].to_numpy(zero_copy_only=False).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(cents)
    return np.where(np.isfinite(logs), logs, np.nan).astype(np.float32)


def mean_by_group(values: NDArray[np.float32], group: NDArray[np.int32]) -> NDArray[np.float32]:
    """Mean of the known values of each row's group; NaN where none is known."""
    known = ~np.isnan(values)
    size = int(group.max(initial=0)) + 1
    total = np.bincount(group[known], values[known], size)
    count = np.bincount(group[known], minlength=size)
    means = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
    return means[group].astype(np.float32)


def decayed_counts(log: InteractionLog, n_items: int, now_s: int) -> NDArray[np.float32]:
    """Weighted events per product, one column per half-life: (items, 4). Never negative."""
    age_days = (now_s - log.ts) / DAY_S
    columns = [
        np.bincount(log.item, log.weight * 0.5 ** (age_days / half_life), n_items)
        for half_life in TREND_HALF_LIVES_DAYS
    ]
    return np.maximum(np.stack(columns, axis=1), 0).astype(np.float32)


def popularity(log: InteractionLog, n_shoppers: int, n_items: int) -> NDArray[np.float32]:
    """How many shoppers went for each product: (items,). What was sent back does not count."""
    liked = sp.csr_matrix((log.weight, (log.shopper, log.item)), (n_shoppers, n_items))
    return np.asarray(liked.minimum(1).maximum(0).sum(axis=0), np.float32).ravel()


def market_trends(
    log: InteractionLog, n_markets: int, n_items: int, now_s: int, half_life_days: float = 7.0
) -> NDArray[np.float32]:
    """(markets, items); row 0 is all markets. A market without events repeats row 0."""
    weight = log.weight * 0.5 ** ((now_s - log.ts) / DAY_S / half_life_days)
    flat = np.bincount(
        log.market.astype(np.int64) * n_items + log.item, weight, n_markets * n_items
    )
    trends = np.maximum(flat.reshape(n_markets, n_items), 0)
    trends[0] = np.maximum(np.bincount(log.item, weight, n_items), 0)
    return _leaning_on_all(trends).astype(np.float32)


def _leaning_on_all(trends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Small markets lean on the whole shop: their own trend counts by how much there is of it."""
    everywhere = trends[0] / max(float(trends[0].sum()), 1e-9)
    own = trends[1:].sum(axis=1, keepdims=True)
    leaning = 100.0
    trends[1:] = trends[1:] + leaning * everywhere
    trends[1:] *= max(float(trends[0].sum()), 1e-9) / (own + leaning)
    return trends


def first_seen(log: InteractionLog, n_items: int, now_s: int) -> NDArray[np.int64]:
    seen = np.full(n_items, now_s, np.int64)
    np.minimum.at(seen, log.item, log.ts)
    return seen


def rebuying(log: InteractionLog, n_items: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Share of buyers who bought again, and median days in between: (items,) each.

    Two purchases within half a day are one. Products few have bought lean on the shop's mean.
    """
    bought = log.rows(log.kind == KIND_INDEX["purchase"])
    bought = bought.rows(np.lexsort((bought.ts, bought.item, bought.shopper)))
    same = (bought.shopper[1:] == bought.shopper[:-1]) & (bought.item[1:] == bought.item[:-1])
    gaps_s = bought.ts[1:] - bought.ts[:-1]
    again = same & (gaps_s > SOONEST_REBUY_S)
    items, gaps = bought.item[1:][again], gaps_s[again] / DAY_S
    pairs = np.unique(np.stack([bought.shopper[1:][again], items], axis=1), axis=0)
    buyers = np.bincount(
        np.unique(np.stack([bought.shopper, bought.item], axis=1), axis=0)[:, 1], minlength=n_items
    )
    rebuyers = np.bincount(pairs[:, 1], minlength=n_items)
    mean = rebuyers.sum() / max(buyers.sum(), 1)
    rate = (rebuyers + REBUY_PRIOR_BUYERS * mean) / (buyers + REBUY_PRIOR_BUYERS)
    return rate.astype(np.float32), _median_by_item(items, gaps, n_items)


def return_rates(log: InteractionLog, n_items: int) -> NDArray[np.float32]:
    """Refunds per purchase of each product, leaning on the shop's own rate: (items,), at most 1."""
    bought = np.bincount(log.item[log.kind == KIND_INDEX["purchase"]], minlength=n_items)
    returned = np.bincount(log.item[log.kind == KIND_INDEX["refund"]], minlength=n_items)
    usual = min(1.0, returned.sum() / max(bought.sum(), 1))
    rate = (returned + RETURN_PRIOR_PURCHASES * usual) / (bought + RETURN_PRIOR_PURCHASES)
    return np.minimum(rate, 1.0).astype(np.float32)


def was_refunded(log: InteractionLog) -> NDArray[np.bool_]:
    """Which purchases of a log the shopper gave back later in it: (events,).

    A refund takes back the last purchase of the product before it that is still kept.
    """
    purchase, refund = KIND_INDEX["purchase"], KIND_INDEX["refund"]
    taken_back = np.zeros(len(log.ts), bool)
    concerned = np.isin(log.item, log.item[log.kind == refund])
    concerned &= np.isin(log.kind, (purchase, refund))
    kept: dict[tuple[int, int], list[int]] = {}
    for row in np.flatnonzero(concerned):
        mine = kept.setdefault((int(log.shopper[row]), int(log.item[row])), [])
        if log.kind[row] == purchase:
            mine.append(int(row))
        elif mine:
            taken_back[mine.pop()] = True
    return taken_back


def _median_by_item(
    items: NDArray[np.int32], gaps: NDArray[np.float64], n_items: int
) -> NDArray[np.float32]:
    usual = float(np.median(gaps)) if gaps.size else 30.0
    medians = np.full(n_items, usual, np.float32)
    order = np.lexsort((gaps, items))
    present, starts, counts = np.unique(items[order], return_index=True, return_counts=True)
    medians[present] = gaps[order][starts + counts // 2]
    return medians
