"""The fallback ladder: the release in service, then what is alike, popular, newest."""

import logging
from enum import Enum, auto
from typing import NamedTuple

from msgspec import Struct

from backend.inference import Inference, InferenceUnavailable, Listed, ReleaseUnusable
from backend.recommend.candidates import CandidateCache, cache_key, limit_class
from backend.recommend.fallback import (
    alike_candidates,
    beneath,
    habit_candidates,
    newest_candidates,
    popular_candidates,
    promote,
    viewed_candidates,
)
from backend.recommend.live_catalog import LiveCatalog
from backend.recommend.placements import RECIPES, Lower, Recipe, anchors, hidden_products
from backend.recommend.popular import PopularLists, PopularUnavailable
from backend.recommend.queries import PopularProduct
from backend.recommend.schemas import RecommendationRequest
from backend.recommend.shopper import Shopper, with_recent
from backend.tenancy import TenantId
from ml.serving.engine import UnknownProduct
from ml.serving.request import EngineAnswer, EngineRequest, ScoredItem

logger = logging.getLogger(__name__)


class Parts(Struct, frozen=True, kw_only=True):
    inference: Inference
    cache: CandidateCache
    popular: PopularLists


class Question(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    request: RecommendationRequest
    release_id: str | None
    catalog: LiveCatalog
    stored: Shopper
    now_s: float
    among: list[str] | None = None
    """The only products to answer with, sorted; None: all."""

    @property
    def shopper(self) -> Shopper:
        return with_recent(self.stored, self.request.recent, self.now_s)

    @property
    def recipe(self) -> Recipe:
        return RECIPES[self.request.placement]

    def hidden(self) -> frozenset[str]:
        """Products this request never shows, whatever their stock."""
        return hidden_products(self.request, self.shopper)


class Served(Struct, frozen=True, kw_only=True):
    items: list[ScoredItem]
    rung: str
    degraded: bool
    release_id: str | None = None
    stages_us: dict[str, int] = {}
    cached: bool = False


class Rung(NamedTuple):
    name: str
    items: list[ScoredItem]


class FromRelease(NamedTuple):
    answer: EngineAnswer
    cached: bool


class Unanswered(Enum):
    """Why no release answered."""

    NOT_ASKED = auto()
    PRODUCT_TOO_NEW = auto()
    FAILED = auto()


NOTHING = Served(items=[], rung="nothing", degraded=True)


class Climbed(Struct, frozen=True, kw_only=True):
    """What each rung offers; the first is of the release where one answered."""

    rungs: list[Rung]
    found: FromRelease | Unanswered
    degraded: bool


async def serve(parts: Parts, question: Question) -> Served:
    """Items of the best rung that works; lower rungs fill what it leaves open."""
    return take(await climb(parts, question), question.request.limit)


async def climb(parts: Parts, question: Question) -> Climbed:
    """Rungs with enough products for the request, where there are as many."""
    hidden = question.hidden()
    found = await ask_release(parts, question, hidden)
    rungs: list[Rung] = []
    if isinstance(found, FromRelease):
        rungs.append(Rung(found.answer.served_by, showable(question, hidden, found.answer.items)))
    degraded = found is Unanswered.FAILED
    if not rungs or (question.recipe.is_filled and len(rungs[0].items) < question.request.limit):
        lower, popular_failed = await lower_rungs(parts, question, hidden)
        degraded = degraded or (popular_failed and not rungs)
        rungs += lower
    return Climbed(rungs=rungs, found=found, degraded=degraded)


def take(climbed: Climbed, limit: int, without: frozenset[str] = frozenset()) -> Served:
    """The best `limit` items that are not in `without`."""
    rungs = [
        Rung(rung.name, [item for item in rung.items if item.product_id not in without])
        for rung in climbed.rungs
    ]
    items, name = fill(rungs, limit)
    found = climbed.found
    if isinstance(found, FromRelease) and rungs[0].items:
        return Served(
            items=items,
            rung=name,
            degraded=climbed.degraded,
            release_id=found.answer.release_id,
            stages_us={} if found.cached else found.answer.stage_us,
            cached=found.cached,
        )
    return Served(items=items, rung=name, degraded=climbed.degraded)


def fill(rungs: list[Rung], limit: int) -> tuple[list[ScoredItem], str]:
    """Best rung first until there are enough; and the name of the first that gave anything."""
    items: list[ScoredItem] = []
    seen: set[str] = set()
    for rung in rungs:
        if len(items) >= limit:
            break
        added = [item for item in rung.items if item.product_id not in seen]
        seen.update(item.product_id for item in added)
        items += beneath(added, items[-1].score) if items else added
    name = next((rung.name for rung in rungs if rung.items), "nothing")
    return items[:limit], name


def showable(
    question: Question, hidden: frozenset[str], items: list[ScoredItem]
) -> list[ScoredItem]:
    market = question.request.market
    return [
        item
        for item in items
        if item.product_id not in hidden and question.catalog.may_show(item.product_id, market)
    ]


async def ask_release(
    parts: Parts, question: Question, hidden: frozenset[str]
) -> FromRelease | Unanswered:
    """Candidates of the release in service, blocked or not since they were cached."""
    if question.release_id is None or not question.recipe.asks_release:
        return Unanswered.NOT_ASKED
    try:
        release = await parts.inference.release(
            question.tenant_id, question.release_id, question.catalog
        )
        return await cached_or_computed(parts, question, release, hidden)
    except UnknownProduct:
        return Unanswered.PRODUCT_TOO_NEW
    except ReleaseUnusable as error:
        logger.error("%s", error)
    except InferenceUnavailable as error:
        logger.warning("%s", error)
    except Exception:
        logger.exception("the engine failed on release %s", question.release_id)
    return Unanswered.FAILED


async def cached_or_computed(
    parts: Parts, question: Question, release: Listed, hidden: frozenset[str]
) -> FromRelease:
    key = cache_key(question.tenant_id, release, question.request, question.stored, question.among)
    kept = await parts.cache.get(key)
    if kept is not None:
        # A full list of which too much sold out since is no longer a full list.
        left = len(showable(question, hidden, kept.items))
        cut_short = len(kept.items) >= limit_class(question.request.limit)
        if left >= question.request.limit or not cut_short:
            return FromRelease(kept, cached=True)
    answer = await parts.inference.recommend(release, engine_request(question, release, hidden))
    await parts.cache.put(key, answer)
    return FromRelease(answer, cached=False)


async def prepare(parts: Parts, question: Question, kept_s: int) -> None:
    """Make and keep what `serve` would look for. Raises ReleaseUnusable, InferenceUnavailable."""
    if question.release_id is None:
        return
    release = await parts.inference.release(
        question.tenant_id, question.release_id, question.catalog
    )
    key = cache_key(question.tenant_id, release, question.request, question.stored)
    asked = engine_request(question, release, question.hidden())
    await parts.cache.put(key, await parts.inference.recommend(release, asked), kept_s)


def engine_request(question: Question, release: Listed, hidden: frozenset[str]) -> EngineRequest:
    request, shopper = question.request, question.shopper
    return EngineRequest(
        now_s=question.now_s,
        limit=limit_class(request.limit),
        mode=request.mode,
        recent=shopper.recent,
        bought=shopper.bought,
        ranked_by=question.recipe.ranked_by,
        similar_to=request.product_id if question.recipe.beside == "alike" else None,
        goes_with=anchors(request) if question.recipe.beside == "complements" else [],
        among=question.among,
        market=request.market or shopper.country,
        traits=shopper.traits,
        device=request.device,
        blocked=question.catalog.blocked(release, request.market, hidden),
        promoted=frozenset(request.promoted),
        promotion_threshold=request.promotion_threshold,
    )


async def lower_rungs(
    parts: Parts, question: Question, hidden: frozenset[str]
) -> tuple[list[Rung], bool]:
    """What needs no release, best first; and whether what is popular could not be told."""
    popular: list[PopularProduct] = []
    failed = False
    if "popular" in question.recipe.lower:
        try:
            popular = await parts.popular.popular(question.tenant_id, question.request.market)
        except PopularUnavailable as error:
            logger.warning("what is popular is unknown: %s", error)
            failed = True
    promoted = frozenset(question.request.promoted)
    threshold = question.request.promotion_threshold
    rungs = [lower_rung(question, lower, popular) for lower in question.recipe.lower]
    return [
        Rung(rung.name, promote(showable(question, hidden, rung.items), promoted, threshold))
        for rung in rungs
    ], failed


def lower_rung(question: Question, lower: Lower, popular: list[PopularProduct]) -> Rung:
    match lower:
        case "alike":
            product_id = question.request.product_id or ""
            return Rung("content", alike_candidates(product_id, question.catalog, popular))
        case "popular":
            return Rung("popular", popular_candidates(popular))
        case "newest":
            return Rung("newest", newest_candidates(question.catalog))
        case "viewed":
            return Rung("recently-viewed", viewed_candidates(question.shopper))
        case "habit":
            return Rung("buy-again", habit_candidates(question.shopper, question.now_s))
