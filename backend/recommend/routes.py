"""HTTP of recommendations."""

from litestar import Router, post
from litestar.datastructures import State
from litestar.params import JSONBody

from backend.auth.caller import caller_of, requires
from backend.errors import AnyRequest
from backend.recommend import pipeline
from backend.recommend.pipeline import Recommender
from backend.recommend.schemas import RecommendationRequest, Recommendations


async def provide_recommender(state: State) -> Recommender:
    return state.recommender


@post("/", guards=[requires("recommend")], status_code=200)
async def recommend(data: JSONBody[RecommendationRequest], request: AnyRequest) -> Recommendations:
    """Recommend products to one shopper, known or new, or beside one product.

    Every answer says which rung of the fallback ladder served it; a valid request always gets one.
    """
    recommender: Recommender = request.app.state.recommender  # no dependency: the hottest route
    return await pipeline.recommend(recommender, caller_of(request).tenant_id, data)


router = Router(
    "/v1/recommendations",
    route_handlers=[recommend],
    tags=["Recommendations"],
)
