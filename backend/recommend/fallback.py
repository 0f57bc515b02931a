"""The rungs below a release: alike, popular, newest, the shopper's own. Pure functions.

Every function gives candidates best first, with scores in [0, 1]; none looks at what is blocked.
"""

from collections.abc import Iterable

from backend.recommend.live_catalog import LiveCatalog, LiveProduct
from backend.recommend.queries import PopularProduct
from backend.recommend.shopper import Shopper
from ml.serving.habits import is_due
from ml.serving.request import ScoredItem, strength_at

MOST = 1_000
VIEWS = frozenset({"view", "click"})


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


def viewed_candidates(shopper: Shopper) -> list[ScoredItem]:
    """What the shopper looked at, the last first."""
    views = [interaction for interaction in shopper.recent if interaction.kind in VIEWS]
    names = list(dict.fromkeys(interaction.product_id for interaction in views))
    return [
        ScoredItem(
            product_id=name, score=1 - rank / len(names), reason="viewed-before", because_of=name
        )
        for rank, name in enumerate(names)
    ]


def habit_candidates(shopper: Shopper, now_s: float) -> list[ScoredItem]:
    """What the shopper bought and needs again by now, the strongest habit first."""
    due = [purchase for purchase in shopper.bought if is_due(purchase, now_s)]
    strengths = [max(p.strength * strength_at(now_s, p.last_s), 0.0) for p in due]
    strongest = max(strengths, default=0.0) or 1.0
    found = [
        ScoredItem(
            product_id=purchase.product_id,
            score=strength / strongest,
            reason="buy-again" if purchase.times > 1 else "bought-before",
            because_of=purchase.product_id,
        )
        for purchase, strength in zip(due, strengths, strict=True)
    ]
    return sorted(found, key=lambda item: (-item.score, item.product_id))


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
    lifts = [item.product_id in promoted and item.score >= threshold for item in items]
    first = [scored(item, 1.0) for item, is_lifted in zip(items, lifts, strict=True) if is_lifted]
    return [*first, *(item for item, is_lifted in zip(items, lifts, strict=True) if not is_lifted)]


def beneath(items: Iterable[ScoredItem], ceiling: float) -> list[ScoredItem]:
    """The same order with scores scaled below `ceiling`, to follow a better rung."""
    return [scored(item, item.score * ceiling) for item in items]


def scored(item: ScoredItem, score: float) -> ScoredItem:
    return ScoredItem(
        product_id=item.product_id, score=score, reason=item.reason, because_of=item.because_of
    )
