"""HTTP of recommendations."""

from litestar import Router, post
from litestar.datastructures import State
from litestar.params import JSONBody

from backend.auth.caller import caller_of, requires
from backend.errors import AnyRequest
from backend.recommend import page, pipeline, rankings
from backend.recommend.operations import PageOperation, RankOperation, RecommendOperation
from backend.recommend.pipeline import Recommender
from backend.recommend.schemas import (
    Page,
    PageRequest,
    Ranking,
    RankingRequest,
    RecommendationRequest,
    Recommendations,
)


async def provide_recommender(state: State) -> Recommender:
    return state.recommender


def recommender_of(request: AnyRequest) -> Recommender:
    """No dependency: the hottest route asks for it."""
    return request.app.state.recommender


@post("/", guards=[requires("recommend")], status_code=200, operation_class=RecommendOperation)
async def recommend(data: JSONBody[RecommendationRequest], request: AnyRequest) -> Recommendations:
    """Recommend products to one shopper, known or new, or beside products.

    Every answer says which rung of the fallback ladder served it; a valid request always gets one.
    """
    return await pipeline.recommend(recommender_of(request), caller_of(request).tenant_id, data)


@post("/page", guards=[requires("recommend")], status_code=200, operation_class=PageOperation)
async def fill_page(data: JSONBody[PageRequest], request: AnyRequest) -> Page:
    """Fill several placements of one page at once, with no product twice."""
    return await page.fill_page(recommender_of(request), caller_of(request).tenant_id, data)


@post("/", guards=[requires("recommend")], status_code=200, operation_class=RankOperation)
async def rank(data: JSONBody[RankingRequest], request: AnyRequest) -> Ranking:
    """Reorder a given list of products for one shopper; each comes back exactly once."""
    return await rankings.rank(recommender_of(request), caller_of(request).tenant_id, data)


router = Router(
    "/v1/recommendations",
    route_handlers=[recommend, fill_page],
    tags=["Recommendations"],
)
rankings_router = Router("/v1/rankings", route_handlers=[rank], tags=["Recommendations"])
