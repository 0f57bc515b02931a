"""What each placement shows: a recipe of one line or two, and what it takes of a request."""

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from backend.errors import Unprocessable
from backend.recommend.schemas import Mode, Placement, RecommendationRequest
from backend.recommend.shopper import Shopper, with_recent
from ml.serving.request import Ranking

Lower = Literal["alike", "popular", "newest", "viewed", "habit"]
"""Rungs that need no release: see `backend.recommend.fallback`."""


class Recipe(Struct, frozen=True, kw_only=True):
    lower: tuple[Lower, ...] = ("popular", "newest")
    """Asked in this order for what the release leaves open."""
    asks_release: bool = True
    ranked_by: Ranking = "shopper"
    beside: Literal["alike", "complements"] | None = None
    """What the release is asked for beside the products of the request, instead of `ranked_by`."""
    needs: Literal["product_id", "product_ids"] | None = None
    mode: Mode | None = None
    """None: as the request says."""
    is_personal: bool = True
    """Whether the answer depends on more of the shopper than what is hidden from them."""
    is_filled: bool = True
    """Whether lower rungs add to what the release answered."""


RECIPES: Mapping[Placement, Recipe] = {
    "for-you": Recipe(),
    "similar": Recipe(
        beside="alike",
        needs="product_id",
        is_personal=False,
        lower=("alike", "popular", "newest"),
    ),
    "bought-together": Recipe(
        beside="complements",
        needs="product_id",
        is_personal=False,
        lower=("alike", "popular", "newest"),
    ),
    "cart": Recipe(beside="complements", needs="product_ids", is_personal=False),
    "trending": Recipe(ranked_by="trending", is_personal=False),
    "best-sellers": Recipe(ranked_by="popularity", is_personal=False),
    "recently-viewed": Recipe(asks_release=False, mode="repeat", lower=("viewed",)),
    "buy-again": Recipe(ranked_by="habit", mode="repeat", lower=("habit",), is_filled=False),
}
LACKS = {
    "product_id": "`{placement}` needs the product it is shown beside",
    "product_ids": "`{placement}` needs at least one product",
}


def require_complete(request: RecommendationRequest, pointer: str = "") -> None:
    """Raises Unprocessable. pointer: of the request in the body."""
    needs = RECIPES[request.placement].needs
    if needs is not None and not getattr(request, needs):
        detail = LACKS[needs].format(placement=request.placement)
        raise Unprocessable(detail, pointer=f"{pointer}/{needs}")


def anchors(request: RecommendationRequest) -> list[str]:
    """The products it is shown beside, which are not shown themselves."""
    if RECIPES[request.placement].needs == "product_ids":
        return request.product_ids
    beside_one = request.placement == "recently-viewed" or RECIPES[request.placement].beside
    return [request.product_id] if beside_one and request.product_id is not None else []


def hidden_products(request: RecommendationRequest, shopper: Shopper) -> frozenset[str]:
    """Products this request never shows, whatever their stock."""
    names = [*request.exclude, *anchors(request), *dismissed(shopper)]
    if request.mode == "new":
        names += [purchase.product_id for purchase in shopper.bought]
    return frozenset(names)


def dismissed(shopper: Shopper) -> list[str]:
    """What the shopper turned down and did not come back to since."""
    newest = {interaction.product_id: interaction.kind for interaction in reversed(shopper.recent)}
    return [product_id for product_id, kind in newest.items() if kind == "dismiss"]


def relevant(
    request: RecommendationRequest, stored: Shopper, now_s: float
) -> tuple[RecommendationRequest, Shopper]:
    """What of the request and of the shopper changes the answer: equal ones share it."""
    recipe = RECIPES[request.placement]
    mode = recipe.mode or request.mode
    asked = msgspec.structs.replace(
        request,
        mode=mode,
        locale=None,
        product_id=request.product_id if anchors(request) else None,
        product_ids=sorted({*request.product_ids}) if recipe.needs == "product_ids" else [],
    )
    if recipe.is_personal:
        return asked, stored
    told = [i for i in request.recent if i.kind == "purchase"] if mode == "new" else []
    turned_down = {*dismissed(with_recent(stored, request.recent, now_s))}
    only_hides = msgspec.structs.replace(
        stored,
        recent=[i for i in stored.recent if i.kind == "dismiss" and i.product_id in turned_down],
        bought=stored.bought if mode == "new" else [],
        traits=[],
    )
    return msgspec.structs.replace(asked, device=None, recent=told), only_hides
