"""What a release knows about every product, as arrays by position."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.interactions import KIND_WEIGHT
from ml.serving.neighbours import Neighbours
from ml.serving.session_tables import NOTHING, Sessions
from ml.serving.sparse_rows import SparseRows
from ml.serving.vocabulary import Vocabulary

TREND_HALF_LIVES_DAYS = (2, 7, 28, 120)
WEEK, MONTH, SEASON = 1, 2, 3
"""Columns of `Tables.trends` that are asked for by name."""


class Tables(NamedTuple):
    """Everything but the networks. The first axis is the product unless said otherwise."""

    cut_s: int
    """Nothing in here was learned from an event at or after this Unix time."""
    product_ids: list[str]
    markets: list[str]
    """Position 0 is the unknown market."""
    department: NDArray[np.int32]
    """First level of the category path; 0 is unknown, for the next two as well."""
    category: NDArray[np.int32]
    """The whole category path."""
    brand: NDArray[np.int32]
    log_price: NDArray[np.float32]
    """Natural logarithm of cents; NaN where unknown."""
    category_log_price: NDArray[np.float32]
    """Mean `log_price` of the product's category; NaN where unknown."""
    first_seen_s: NDArray[np.int64]
    """First event or, without one, `cut_s`."""
    trends: NDArray[np.float32]
    """(items, 4): events decayed with TREND_HALF_LIVES_DAYS, as of `cut_s`."""
    popularity: NDArray[np.float32]
    """(items,): how many shoppers went for the product, ever."""
    market_trends: NDArray[np.float32]
    """(markets, items): 7-day trend inside a market; row 0 is all markets together."""
    rebuy_rate: NDArray[np.float32]
    """Share of buyers who bought the product again, shrunk towards the shop's mean."""
    rebuy_days: NDArray[np.float32]
    """Median days between two purchases of the product by one shopper."""
    return_rate: NDArray[np.float32]
    """Refunds per purchase, shrunk towards the shop's mean."""
    co_purchase: Neighbours
    ease: Neighbours
    content: Neighbours
    candidates: Mapping[str, int]
    """How many products each source may put forward: see `ml.allocation`."""
    item_vectors: NDArray[np.float32]
    """(items, dim), L2-normalised; (items, 0) where no towers were trained."""
    sessions: Sessions = NOTHING
    traits: Sequence[str] = ("",)
    """What customers may share, in the order of the query tower's rows; the first is none."""
    words: SparseRows | None = None
    """(items, terms): telling words of each product, length 1 or 0; None where none is told."""
    vocabulary: Vocabulary | None = None
    """How `words` were read; None where they were not."""
    kind_weight: NDArray[np.float32] = KIND_WEIGHT
    """(kinds,): how much one event of each kind speaks for its product in this shop."""

    def worth_cents(self) -> NDArray[np.float32]:
        """What one order of each product leaves after returns; a usual price where unknown."""
        known = self.log_price[~np.isnan(self.log_price)]
        usual = float(np.median(known)) if known.size else 0.0
        price = np.where(np.isnan(self.log_price), self.category_log_price, self.log_price)
        return (np.exp(np.nan_to_num(price, nan=usual)) * (1 - self.return_rate)).astype(np.float32)


def attraction(tables: Tables, kinds: NDArray[np.int8]) -> NDArray[np.float32]:
    """(events,): what events of these kinds add; what speaks against a product does not attract."""
    return np.maximum(tables.kind_weight[kinds], 0)


def position_index(product_ids: list[str]) -> dict[str, int]:
    return {product_id: position for position, product_id in enumerate(product_ids)}
