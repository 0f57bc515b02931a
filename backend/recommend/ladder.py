"""The fallback ladder: the release in service, then what is alike, popular, newest."""

import logging
from enum import Enum, auto
from typing import NamedTuple

import msgspec
from msgspec import Struct

from backend.inference import EmbeddedBackend, ReleaseUnusable
from backend.recommend.arrivals import Arrivals
from backend.recommend.candidates import CandidateCache, cache_key, limit_class
from backend.recommend.fallback import (
    alike_candidates,
    beneath,
    newest_candidates,
    popular_candidates,
    promote,
)
from backend.recommend.live_catalog import LiveCatalog
from backend.recommend.popular import PopularLists, PopularUnavailable
from backend.recommend.queries import PopularProduct
from backend.recommend.schemas import RecommendationRequest
from backend.recommend.shopper import Shopper, with_recent
from backend.tenancy import TenantId
from ml.serving.engine import UnknownProduct
from ml.serving.release import LoadedRelease
from ml.serving.request import EngineAnswer, EngineRequest, ScoredItem

logger = logging.getLogger(__name__)


class Parts(Struct, frozen=True, kw_only=True):
    inference: EmbeddedBackend
    arrivals: Arrivals
    cache: CandidateCache
    popular: PopularLists


class Question(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    request: RecommendationRequest
    release_id: str | None
    previous_release_id: str | None = None
    """Answers where the release in service cannot."""
    catalog: LiveCatalog
    stored: Shopper
    now_s: float

    @property
    def shopper(self) -> Shopper:
        return with_recent(self.stored, self.request.recent, self.now_s)

    def hidden(self) -> frozenset[str]:
        """Products this request never shows, whatever their stock."""
        names = [*self.request.exclude]
        if self.request.mode == "new":
            names += [purchase.product_id for purchase in self.shopper.bought]
        if self.request.placement == "similar" and self.request.product_id is not None:
            names.append(self.request.product_id)
        return frozenset(names)


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

    NONE_YET = auto()
    PRODUCT_TOO_NEW = auto()
    FAILED = auto()


NOTHING = Served(items=[], rung="nothing", degraded=True)


async def serve(parts: Parts, question: Question) -> Served:
    """Items of the best rung that works; lower rungs fill what it leaves open."""
    limit = question.request.limit
    hidden = question.hidden()
    found = await ask_release(parts, question, hidden)
    rungs: list[Rung] = []
    if isinstance(found, FromRelease):
        rungs.append(Rung(found.answer.served_by, showable(question, hidden, found.answer.items)))
    degraded = found is Unanswered.FAILED or (
        isinstance(found, FromRelease) and found.answer.release_id != question.release_id
    )
    if not rungs or len(rungs[0].items) < limit:
        lower, popular_failed = await lower_rungs(parts, question, hidden)
        degraded = degraded or (popular_failed and not rungs)
        rungs += lower
    items, name = fill(rungs, limit)
    if isinstance(found, FromRelease) and rungs[0].items:
        return Served(
            items=items,
            rung=name,
            degraded=degraded,
            release_id=found.answer.release_id,
            stages_us={} if found.cached else found.answer.stage_us,
            cached=found.cached,
        )
    return Served(items=items, rung=name, degraded=degraded)


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
    if question.release_id is None:
        return Unanswered.NONE_YET
    try:
        release = await parts.inference.release(question.tenant_id, question.release_id)
        wider = parts.arrivals.widened(question.tenant_id, release, question.catalog)
        return await cached_or_computed(parts, question, wider, hidden)
    except UnknownProduct:
        return Unanswered.PRODUCT_TOO_NEW
    except ReleaseUnusable as error:
        logger.error("%s", error)
        if question.previous_release_id is not None:
            return await ask_release(parts, before(question), hidden)
    except Exception:
        logger.exception("the engine failed on release %s", question.release_id)
    return Unanswered.FAILED


def before(question: Question) -> Question:
    """The same question to the release that was in service before."""
    return msgspec.structs.replace(
        question, release_id=question.previous_release_id, previous_release_id=None
    )


async def cached_or_computed(
    parts: Parts, question: Question, release: LoadedRelease, hidden: frozenset[str]
) -> FromRelease:
    key = cache_key(question.tenant_id, release, question.request, question.stored)
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


def engine_request(
    question: Question, release: LoadedRelease, hidden: frozenset[str]
) -> EngineRequest:
    request, shopper = question.request, question.shopper
    return EngineRequest(
        now_s=question.now_s,
        limit=limit_class(request.limit),
        mode=request.mode,
        recent=shopper.recent,
        bought=shopper.bought,
        similar_to=request.product_id if request.placement == "similar" else None,
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
    request, catalog = question.request, question.catalog
    popular: list[PopularProduct] = []
    failed = False
    try:
        popular = await parts.popular.popular(question.tenant_id, request.market)
    except PopularUnavailable as error:
        logger.warning("what is popular is unknown: %s", error)
        failed = True
    rungs = [
        Rung("popular", popular_candidates(popular)),
        Rung("newest", newest_candidates(catalog)),
    ]
    if request.placement == "similar" and request.product_id is not None:
        rungs.insert(0, Rung("content", alike_candidates(request.product_id, catalog, popular)))
    promoted, threshold = frozenset(request.promoted), request.promotion_threshold
    return [
        Rung(rung.name, promote(showable(question, hidden, rung.items), promoted, threshold))
        for rung in rungs
    ], failed
