"""One request for recommendations, from shopper state to the answer."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct
from ulid import ULID

from backend.cache import Redis, open_redis
from backend.db import Pool
from backend.errors import Unprocessable
from backend.inference import EmbeddedBackend
from backend.object_store import open_depot
from backend.recommend import ladder
from backend.recommend.answers import AnswerCache, answer_key
from backend.recommend.arrivals import Arrivals
from backend.recommend.candidates import CandidateCache
from backend.recommend.ladder import Question, Served
from backend.recommend.live_catalog import LiveCatalog
from backend.recommend.live_catalogs import CatalogUnavailable, LiveCatalogs
from backend.recommend.pointers import ServingPointers
from backend.recommend.popular import PopularLists
from backend.recommend.queries import InService
from backend.recommend.reasons import reason_code, words
from backend.recommend.schemas import (
    Reason,
    RecommendationRequest,
    Recommendations,
    RecommendedItem,
    Timings,
)
from backend.recommend.shopper import read_shopper
from backend.recommend.signals import SignalReader, Signals
from backend.releases import ReleaseCache, following
from backend.settings import Settings
from backend.tenancy import TenantId
from ml.serving.request import ScoredItem

logger = logging.getLogger(__name__)


class Recommender(Struct, frozen=True, kw_only=True):
    """What a process needs to answer; opened once by `open_recommender`."""

    redis: Redis
    pool: Pool
    signals: SignalReader
    answers: AnswerCache
    pointers: ServingPointers
    catalogs: LiveCatalogs
    parts: ladder.Parts


class ShopNow(Struct, frozen=True, kw_only=True):
    releases: InService
    catalog: LiveCatalog | None
    """None: PostgreSQL fails and the catalogue was never read."""


@asynccontextmanager
async def open_recommender(
    settings: Settings, pool: Pool, redis: Redis
) -> AsyncGenerator[Recommender]:
    cache = open_redis(settings.aisle_cache_url) if settings.aisle_cache_url else redis
    releases = ReleaseCache(open_depot(settings))
    inference = EmbeddedBackend(releases.locate)
    arrivals = Arrivals()
    signals = SignalReader(redis)
    popular = PopularLists(cache, pool)
    try:
        async with following(redis, releases):
            yield Recommender(
                redis=redis,
                pool=pool,
                signals=signals,
                answers=AnswerCache(),
                pointers=ServingPointers(pool),
                catalogs=LiveCatalogs(pool),
                parts=ladder.Parts(
                    inference=inference,
                    arrivals=arrivals,
                    cache=CandidateCache(cache),
                    popular=popular,
                ),
            )
    finally:
        await signals.close()
        await popular.close()
        await arrivals.close()
        await inference.close()
        await releases.close()
        if cache is not redis:
            await cache.aclose()


async def recommend(
    recommender: Recommender, tenant_id: TenantId, request: RecommendationRequest
) -> Recommendations:
    """Answer from the best rung that works; whatever fails, there is an answer.

    Raises Unprocessable when `similar` names no product.
    """
    if request.placement == "similar" and request.product_id is None:
        raise Unprocessable("`similar` needs the product to resemble", pointer="/product_id")
    started = time.perf_counter()
    signals = await recommender.signals.read(tenant_id, request.customer_id, request.session_id)
    key = answer_key(tenant_id, request)
    kept = recommender.answers.get(key, signals)
    if kept is not None:
        return again(kept, milliseconds(time.perf_counter() - started))
    made = await make(recommender, tenant_id, request, signals, started)
    recommender.answers.put(key, signals, made)
    return made


def again(answer: Recommendations, took_ms: float) -> Recommendations:
    """The same answer to another request."""
    timings = Timings(total_ms=took_ms, state_ms=took_ms, candidates_ms=0.0, cached=True)
    return msgspec.structs.replace(answer, recommendation_id=str(ULID()), timings=timings)


async def make(
    recommender: Recommender,
    tenant_id: TenantId,
    request: RecommendationRequest,
    signals: Signals,
    started: float,
) -> Recommendations:
    shop, shopper = await asyncio.gather(
        read_shop(recommender, tenant_id, signals),
        read_shopper(recommender.redis, recommender.pool, tenant_id, request),
    )
    known = time.perf_counter()
    if shop.catalog is None:
        served, catalog = ladder.NOTHING, LiveCatalog()
    else:
        catalog = shop.catalog
        question = Question(
            tenant_id=tenant_id,
            request=request,
            release_id=shop.releases.release_id,
            previous_release_id=shop.releases.previous_release_id,
            catalog=catalog,
            stored=shopper,
            now_s=time.time(),
        )
        served = await ladder.serve(recommender.parts, question)
    if not shopper.is_complete:
        served = msgspec.structs.replace(served, degraded=True)
    answered = time.perf_counter()
    timings = Timings(
        total_ms=milliseconds(answered - started),
        state_ms=milliseconds(known - started),
        candidates_ms=milliseconds(answered - known),
        stages_us=served.stages_us,
        cached=served.cached,
    )
    bought = frozenset(purchase.product_id for purchase in shopper.bought)
    return answer(request, served, catalog, bought, timings)


async def read_shop(recommender: Recommender, tenant_id: TenantId, signals: Signals) -> ShopNow:
    releases = await recommender.pointers.in_service(tenant_id, signals.serving)
    try:
        catalog = await recommender.catalogs.current(tenant_id, signals.catalog)
    except CatalogUnavailable as error:
        logger.warning("the catalogue is unavailable: %s", error)
        catalog = None
    return ShopNow(releases=releases, catalog=catalog)


def answer(
    request: RecommendationRequest,
    served: Served,
    catalog: LiveCatalog,
    bought: frozenset[str],
    timings: Timings,
) -> Recommendations:
    return Recommendations(
        recommendation_id=str(ULID()),
        placement=request.placement,
        served_by=served.rung,
        degraded=served.degraded,
        release_id=served.release_id,
        items=[shown(item, catalog, bought) for item in served.items],
        timings=timings,
    )


def shown(item: ScoredItem, catalog: LiveCatalog, bought: frozenset[str]) -> RecommendedItem:
    product = catalog.products[item.product_id]
    behind = catalog.products.get(item.because_of) if item.because_of else None
    code = reason_code(item.reason, was_bought=item.because_of in bought)
    return RecommendedItem(
        product_id=item.product_id,
        score=item.score,
        title=product.title,
        url=product.url,
        image_url=product.image_url,
        price_cents=product.price_cents,
        currency=product.currency,
        reason=Reason(
            code=code,
            words=words(code, behind.title if behind else None),
            product_id=item.because_of,
        ),
    )


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
