"""One shop's products as they are now: what may be shown, and how."""

import sys
from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backend.inference import Listed
from backend.recommend.queries import ProductRow
from ml.serving.arrivals import Arrival, Arrivals, listed_arrivals
from ml.serving.product_text import ProductText

KEPT_MARKETS = 64
KEPT_RELEASES = 4
MOST_ARRIVALS = 1_000
STRUCT_BYTES = 400

Key = TypeVar("Key")
Value = TypeVar("Value")
Mask = NDArray[np.bool_]


class LiveProduct(Struct, frozen=True, kw_only=True, gc=False):
    title: str
    url: str | None
    image_url: str | None
    price_cents: int | None
    currency: str | None
    category: str | None
    brand: str | None
    markets: list[str] | None
    sellable: bool
    created_at_s: float

    def may_show(self, market: str | None) -> bool:
        """Without a market, a product is shown that is sold anywhere."""
        if not self.sellable:
            return False
        return market is None or self.markets is None or market in self.markets


class LiveCatalog:
    """Products by id, and for each market which of them may be shown as an array.

    A product's row is its place in `products`; nothing is ever taken out, only made unsellable.
    """

    def __init__(self) -> None:
        self.products: dict[str, LiveProduct] = {}
        self.nbytes = 0
        self._rows: dict[str, int] = {}
        self._shown: OrderedDict[str | None, Mask] = OrderedDict()
        self._release_rows: OrderedDict[tuple[str, int, str], NDArray[np.int32]] = OrderedDict()
        self._arrivals: OrderedDict[str, Arrivals] = OrderedDict()
        self._newest: list[str] | None = None

    def apply(self, rows: list[ProductRow]) -> None:
        """Take over rows in the order of writing; the same rows again change nothing."""
        for row in rows:
            product = live_product(row)
            before = self.products.get(row.product_id)
            self.nbytes += size_of(product) - (size_of(before) if before else 0)
            self.products[row.product_id] = product
            if before is None:
                self._rows[row.product_id] = len(self._rows)
                self._shown.clear()
                self._release_rows.clear()
                self._arrivals.clear()
            for market, shown in self._shown.items():
                shown[self._rows[row.product_id]] = product.may_show(market)
        if rows:
            self._newest = None

    def may_show(self, product_id: str, market: str | None) -> bool:
        product = self.products.get(product_id)
        return product is not None and product.may_show(market)

    def blocked(self, release: Listed, market: str | None, excluded: Iterable[str]) -> Mask:
        """(items,) in the release's order: true may not be shown. The caller owns the answer."""
        mask = ~self._shown_in(market)[self._rows_of(release)]
        mask[[release.index[name] for name in excluded if name in release.index]] = True
        return mask

    def arrivals(self, release: Listed) -> Arrivals:
        """Products that the release does not know, sellable or not: the latest MOST_ARRIVALS.

        The same until another product arrives.
        """
        found = self._arrivals.get(release.release_id)
        if found is None:
            unknown = [name for name in self.products if name not in release.index]
            unknown.sort(key=lambda name: (-self.products[name].created_at_s, name))
            found = listed_arrivals([self._arrival(name) for name in unknown[:MOST_ARRIVALS]])
            remember(self._arrivals, release.release_id, found, KEPT_RELEASES)
        return found

    def _arrival(self, product_id: str) -> Arrival:
        product = self.products[product_id]
        text = ProductText(title=product.title, category=product.category, brand=product.brand)
        return Arrival(product_id, text)

    def newest(self) -> list[str]:
        """Sellable products, the latest arrival first."""
        if self._newest is None:
            sellable = [name for name, product in self.products.items() if product.sellable]
            self._newest = sorted(sellable, key=lambda n: (-self.products[n].created_at_s, n))
        return self._newest

    def _shown_in(self, market: str | None) -> Mask:
        """(products + 1,): the last element stands for products that are not in the catalogue."""
        shown = self._shown.get(market)
        if shown is None:
            values = [product.may_show(market) for product in self.products.values()]
            shown = np.array([*values, False], dtype=np.bool_)
            remember(self._shown, market, shown, KEPT_MARKETS)
        return shown

    def _rows_of(self, release: Listed) -> NDArray[np.int32]:
        names = release.product_ids
        key = (release.release_id, len(names), names[-1] if names else "")
        rows = self._release_rows.get(key)
        if rows is None:
            absent = len(self._rows)
            found = (self._rows.get(name, absent) for name in names)
            rows = np.fromiter(found, dtype=np.int32, count=len(names))
            remember(self._release_rows, key, rows, KEPT_RELEASES)
        return rows


def remember(kept: OrderedDict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Add to what is kept; the oldest goes when there are more than `most`."""
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)


def live_product(row: ProductRow) -> LiveProduct:
    return LiveProduct(
        title=row.title,
        url=row.url,
        image_url=row.image_url,
        price_cents=row.price_cents,
        currency=row.currency,
        category=row.category,
        brand=row.brand,
        markets=row.markets,
        sellable=row.sellable,
        created_at_s=row.created_at.timestamp(),
    )


def size_of(product: LiveProduct) -> int:
    """Roughly the bytes a product holds here."""
    texts = (product.title, product.url, product.image_url, product.category, product.brand)
    return STRUCT_BYTES + sum(sys.getsizeof(text) for text in texts if text is not None)
