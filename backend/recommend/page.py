"""Several placements of one page, answered at once with no product twice."""

import asyncio
import time

import msgspec
from msgspec import Struct

from backend.errors import Unprocessable
from backend.recommend import ladder, pipeline
from backend.recommend.ladder import Climbed, Question
from backend.recommend.pipeline import Known, Recommender
from backend.recommend.placements import require_complete
from backend.recommend.schemas import (
    MOST_ON_PAGE,
    Asker,
    Page,
    PageRequest,
    RecommendationRequest,
    Recommendations,
)
from backend.tenancy import TenantId


class Found(Struct, frozen=True):
    climbed: Climbed | None
    """None: there is no catalogue to answer from."""
    took_s: float


async def fill_page(recommender: Recommender, tenant_id: TenantId, page: PageRequest) -> Page:
    """One reading of shop and shopper for all; earlier placements choose first.

    Raises Unprocessable where a placement needs more of the request, or too much is asked for.
    """
    requests = requests_of(page)
    started = time.perf_counter()
    signals = await recommender.signals.read(tenant_id, page.customer_id, page.session_id)
    known = await pipeline.know(recommender, tenant_id, page, signals)
    state_s = time.perf_counter() - started
    found = await asyncio.gather(
        *(
            climb(recommender, pipeline.question_of(tenant_id, request, known))
            for request in enough(requests)
        )
    )
    return Page(placements=without_repeats(requests, found, known, state_s))


def requests_of(page: PageRequest) -> list[RecommendationRequest]:
    """What each placement would ask by itself. Raises Unprocessable."""
    asker = {name: getattr(page, name) for name in Asker.__struct_fields__}
    requests: list[RecommendationRequest] = []
    for place, placement in enumerate(page.placements):
        request = RecommendationRequest(**asker, **msgspec.structs.asdict(placement))
        require_complete(request, f"/placements/{place}")
        requests.append(msgspec.structs.replace(request, exclude=[*request.exclude, *page.exclude]))
    if sum(request.limit for request in requests) > MOST_ON_PAGE:
        raise Unprocessable(f"the limits add up to more than {MOST_ON_PAGE}", pointer="/placements")
    return requests


def enough(requests: list[RecommendationRequest]) -> list[RecommendationRequest]:
    """Each asking for as much more as the earlier ones may take away."""
    wider: list[RecommendationRequest] = []
    taken = 0
    for request in requests:
        taken += request.limit
        wider.append(msgspec.structs.replace(request, limit=taken))
    return wider


async def climb(recommender: Recommender, question: Question | None) -> Found:
    started = time.perf_counter()
    climbed = None if question is None else await ladder.climb(recommender.parts, question)
    return Found(climbed, time.perf_counter() - started)


def without_repeats(
    requests: list[RecommendationRequest], found: list[Found], known: Known, state_s: float
) -> list[Recommendations]:
    answers: list[Recommendations] = []
    shown: frozenset[str] = frozenset()
    for request, one in zip(requests, found, strict=True):
        served = (
            ladder.NOTHING
            if one.climbed is None
            else ladder.take(one.climbed, request.limit, without=shown)
        )
        shown |= {item.product_id for item in served.items}
        timings = pipeline.timings_of(served, state_s=state_s, candidates_s=one.took_s)
        answers.append(pipeline.answer(request, served, known, timings))
    return answers
