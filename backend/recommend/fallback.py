"""The rungs below a release: alike by category and brand, popular, newest. Pure functions.

Every function gives candidates best first, with scores in [0, 1]; none looks at what is blocked.
"""

from collections.abc import Iterable

from backend.recommend.live_catalog import LiveCatalog, LiveProduct
from backend.recommend.queries import PopularProduct
from ml.serving.request import ScoredItem

MOST = 1_000


def popular_candidates(popular: list[PopularProduct]) -> list[ScoredItem]:
    return [
        ScoredItem(product_id=product.product_id, score=product.score, reason="popular")
        for product in popular
    ]


def newest_candidates(catalog: LiveCatalog) -> list[ScoredItem]:
    newest = catalog.newest()[:MOST]
    return [
        ScoredItem(product_id=name, score=1 - rank / len(newest), reason="newest")
        for rank, name in enumerate(newest)
    ]


def alike_candidates(
    product_id: str, catalog: LiveCatalog, popular: list[PopularProduct]
) -> list[ScoredItem]:
    """The same category by popularity, then the same brand; nothing for an unknown product."""
    anchor = catalog.products.get(product_id)
    if anchor is None:
        return []
    popularity = {product.product_id: product.score for product in popular}
    found: list[ScoredItem] = []
    for name, product in catalog.products.items():
        likeness = alike(anchor, product)
        if likeness is not None and name != product_id:
            floor, reason = likeness
            score = floor + 0.5 * popularity.get(name, 0.0)
            found.append(
                ScoredItem(product_id=name, score=score, reason=reason, because_of=product_id)
            )
    return sorted(found, key=lambda item: (-item.score, item.product_id))[:MOST]


def alike(anchor: LiveProduct, other: LiveProduct) -> tuple[float, str] | None:
    """The least score of such a likeness, and its reason code."""
    if anchor.category is not None and other.category == anchor.category:
        return 0.5, "same-category"
    if anchor.brand is not None and other.brand == anchor.brand:
        return 0.0, "same-brand"
    return None


def promote(
    items: list[ScoredItem], promoted: frozenset[str], threshold: float
) -> list[ScoredItem]:
    """A promoted product scored at least `threshold` counts as 1.0; else the order stays."""
    lifted = [
        ScoredItem(
            product_id=item.product_id, score=1.0, reason=item.reason, because_of=item.because_of
        )
        if item.product_id in promoted and item.score >= threshold
        else item
        for item in items
    ]
    return sorted(lifted, key=lambda item: -item.score)


def beneath(items: Iterable[ScoredItem], ceiling: float) -> list[ScoredItem]:
    """The same order with scores scaled below `ceiling`, to follow a better rung."""
    return [
        ScoredItem(
            product_id=item.product_id,
            score=item.score * ceiling,
            reason=item.reason,
            because_of=item.because_of,
        )
        for item in items
    ]
