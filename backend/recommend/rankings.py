"""A given list in the order that suits a shopper: every product of it comes back once."""

import time

from ulid import ULID

from backend.errors import Unprocessable
from backend.recommend import ladder, pipeline
from backend.recommend.fallback import promote
from backend.recommend.ladder import Climbed, FromRelease, Question, Rung, fill
from backend.recommend.pipeline import Known, Recommender
from backend.recommend.placements import dismissed
from backend.recommend.schemas import (
    RankedItem,
    Ranking,
    RankingRequest,
    RecommendationRequest,
    Unranked,
)
from backend.tenancy import TenantId
from ml.serving.request import ScoredItem

AS_LISTED = "as-listed"


async def rank(recommender: Recommender, tenant_id: TenantId, request: RankingRequest) -> Ranking:
    """Answer from the best rung that works; whatever fails, the list comes back.

    Raises Unprocessable when a product is listed twice.
    """
    require_distinct(request.product_ids)
    started = time.perf_counter()
    signals = await recommender.signals.read(tenant_id, request.customer_id, request.session_id)
    known = await pipeline.know(recommender, tenant_id, request, signals)
    read = time.perf_counter()
    among = sorted(request.product_ids)
    question = pipeline.question_of(tenant_id, as_recommendation(request), known, among)
    ends = ends_of(request.product_ids, question)
    ranked = [name for name in request.product_ids if name not in ends]
    if question is None:
        served = ladder.Served(items=listed(ranked), rung=AS_LISTED, degraded=True)
    else:
        climbed = await ladder.climb(recommender.parts, question)
        served = ladder.take(narrowed(climbed, request, ranked), len(ranked))
    timings = pipeline.timings_of(
        served, state_s=read - started, candidates_s=time.perf_counter() - read
    )
    return Ranking(
        recommendation_id=str(ULID()),
        served_by=served.rung if ranked else AS_LISTED,
        degraded=served.degraded or not known.shopper.is_complete,
        release_id=served.release_id,
        items=[
            *(shown(item, known) for item in served.items),
            *(shown(item, known, ends[item.product_id]) for item in listed(ends)),
        ],
        timings=timings,
    )


def require_distinct(product_ids: list[str]) -> None:
    seen: set[str] = set()
    for place, name in enumerate(product_ids):
        if name in seen:
            raise Unprocessable(f"{name} is listed twice", pointer=f"/product_ids/{place}")
        seen.add(name)


def as_recommendation(request: RankingRequest) -> RecommendationRequest:
    return RecommendationRequest(
        placement="for-you",
        customer_id=request.customer_id,
        session_id=request.session_id,
        market=request.market,
        device=request.device,
        recent=request.recent,
        limit=len(request.product_ids),
        mode=request.mode,
        promoted=request.promoted,
        promotion_threshold=request.promotion_threshold,
    )


def ends_of(product_ids: list[str], question: Question | None) -> dict[str, Unranked]:
    """What is not ranked, in the order of the list, and why."""
    if question is None:
        return {}
    hidden, turned_down = question.hidden(), frozenset(dismissed(question.shopper))
    ends: dict[str, Unranked] = {}
    for name in product_ids:
        if name not in question.catalog.products:
            ends[name] = "unknown"
        elif not question.catalog.may_show(name, question.request.market):
            ends[name] = "unavailable"
        elif name in hidden:
            ends[name] = "dismissed" if name in turned_down else "bought"
    return ends


def narrowed(climbed: Climbed, request: RankingRequest, ranked: list[str]) -> Climbed:
    """The same rungs with nothing but these products, and at last the list as it was given."""
    wanted = frozenset(ranked)
    rungs = [
        Rung(rung.name, [item for item in rung.items if item.product_id in wanted])
        for rung in climbed.rungs
        if rung.name != "newest"
    ]
    rungs.append(Rung(AS_LISTED, listed(ranked)))
    if not isinstance(climbed.found, FromRelease):
        # One rung, so that what is promoted comes before all.
        items, name = fill(rungs, len(ranked))
        promoted = frozenset(request.promoted)
        rungs = [Rung(name, promote(items, promoted, request.promotion_threshold))]
    return Climbed(rungs=rungs, found=climbed.found, degraded=climbed.degraded)


def listed(product_ids: list[str] | dict[str, Unranked]) -> list[ScoredItem]:
    return [ScoredItem(product_id=name, score=0.0, reason=AS_LISTED) for name in product_ids]


def shown(item: ScoredItem, known: Known, unranked: Unranked | None = None) -> RankedItem:
    return RankedItem(
        product_id=item.product_id,
        score=item.score,
        reason=pipeline.reason_of(item, known),
        unranked=unranked,
    )
