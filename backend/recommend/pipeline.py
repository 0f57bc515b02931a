"""One request for recommendations, from shopper state to the answer."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cached_property, partial

import msgspec
from msgspec import Struct
from ulid import ULID

from backend.cache import Redis
from backend.db import Pool
from backend.inference import EmbeddedBackend, Inference
from backend.object_store import object_path
from backend.recommend import ladder
from backend.recommend.answers import AnswerCache, answer_key
from backend.recommend.asked import AskedWays
from backend.recommend.candidates import CandidateCache
from backend.recommend.ladder import Question, Served
from backend.recommend.live_catalog import LiveCatalog, LiveProduct
from backend.recommend.live_catalogs import CatalogUnavailable, LiveCatalogs
from backend.recommend.placements import relevant, require_complete
from backend.recommend.pointers import ServingPointers
from backend.recommend.popular import PopularLists
from backend.recommend.reasons import reason_code, words
from backend.recommend.schemas import (
    Asker,
    Reason,
    RecommendationRequest,
    Recommendations,
    RecommendedItem,
    Timings,
)
from backend.recommend.shopper import Shopper, read_shopper
from backend.recommend.signals import SignalReader, Signals
from backend.settings import Settings
from backend.tenancy import TenantId
from backend.triton.backend import TritonBackend
from backend.triton.breaker import CircuitBreaker
from backend.triton.client import TritonClient
from ml.serving.request import ScoredItem

logger = logging.getLogger(__name__)


class Recommender(Struct, frozen=True, kw_only=True):
    """What a process needs to answer; opened once by `open_recommender`."""

    redis: Redis
    pool: Pool
    signals: SignalReader
    answers: AnswerCache
    asked: AskedWays
    pointers: ServingPointers
    catalogs: LiveCatalogs
    parts: ladder.Parts


class ShopNow(Struct, frozen=True, kw_only=True):
    release_id: str | None
    catalog: LiveCatalog | None
    """None: PostgreSQL fails and the catalogue was never read."""


class Known(Struct, frozen=True, kw_only=True, dict=True):
    """What one reading tells of the shop and of the shopper."""

    shop: ShopNow
    shopper: Shopper
    now_s: float

    @cached_property
    def bought(self) -> frozenset[str]:
        return frozenset(purchase.product_id for purchase in self.shopper.bought)

    @property
    def products(self) -> dict[str, LiveProduct]:
        return self.shop.catalog.products if self.shop.catalog else {}


@asynccontextmanager
async def open_recommender(
    settings: Settings, pool: Pool, redis: Redis
) -> AsyncGenerator[Recommender]:
    inference = open_inference(settings)
    signals = SignalReader(redis)
    popular = PopularLists(redis, pool)
    try:
        yield Recommender(
            redis=redis,
            pool=pool,
            signals=signals,
            answers=AnswerCache(),
            asked=AskedWays(redis),
            pointers=ServingPointers(pool),
            catalogs=LiveCatalogs(pool),
            parts=ladder.Parts(
                inference=inference,
                cache=CandidateCache(redis),
                popular=popular,
            ),
        )
    finally:
        await signals.close()
        await popular.close()
        await inference.close()


def open_inference(settings: Settings) -> Inference:
    """Raises MissingSetting where Triton is asked for and its client is not installed."""
    locate = partial(object_path, settings.object_store, "releases")
    if settings.aisle_inference == "embedded":
        return EmbeddedBackend(locate)
    return TritonBackend(
        TritonClient(settings.aisle_triton_url),
        locate,
        settings.aisle_triton_deadline_ms / 1000,
        CircuitBreaker("Triton"),
    )


async def recommend(
    recommender: Recommender, tenant_id: TenantId, request: RecommendationRequest
) -> Recommendations:
    """Answer from the best rung that works; whatever fails, there is an answer.

    Raises Unprocessable where the placement needs more of the request.
    """
    require_complete(request)
    started = time.perf_counter()
    signals = await recommender.signals.read(tenant_id, request.customer_id, request.session_id)
    key = answer_key(tenant_id, request)
    kept = recommender.answers.get(key, signals)
    if kept is not None:
        return again(kept, milliseconds(time.perf_counter() - started))
    made = await make(recommender, tenant_id, request, signals, started)
    recommender.answers.put(key, signals, made)
    await recommender.asked.note(tenant_id, request)
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
    known = await know(recommender, tenant_id, request, signals)
    read = time.perf_counter()
    question = question_of(tenant_id, request, known)
    served = ladder.NOTHING if question is None else await ladder.serve(recommender.parts, question)
    answered = time.perf_counter()
    timings = timings_of(served, state_s=read - started, candidates_s=answered - read)
    return answer(request, served, known, timings)


async def know(
    recommender: Recommender, tenant_id: TenantId, asker: Asker, signals: Signals
) -> Known:
    """One reading of the shop and of the shopper."""
    shop, shopper = await asyncio.gather(
        read_shop(recommender, tenant_id, signals),
        read_shopper(recommender.redis, recommender.pool, tenant_id, asker),
    )
    return Known(shop=shop, shopper=shopper, now_s=time.time())


def question_of(
    tenant_id: TenantId,
    request: RecommendationRequest,
    known: Known,
    among: list[str] | None = None,
) -> Question | None:
    """None where there is no catalogue to answer from."""
    if known.shop.catalog is None:
        return None
    asked, stored = relevant(request, known.shopper, known.now_s)
    return Question(
        tenant_id=tenant_id,
        request=asked,
        release_id=known.shop.release_id,
        catalog=known.shop.catalog,
        stored=stored,
        now_s=known.now_s,
        among=among,
    )


def timings_of(served: Served, *, state_s: float, candidates_s: float) -> Timings:
    return Timings(
        total_ms=milliseconds(state_s + candidates_s),
        state_ms=milliseconds(state_s),
        candidates_ms=milliseconds(candidates_s),
        stages_us=served.stages_us,
        cached=served.cached,
    )


async def read_shop(recommender: Recommender, tenant_id: TenantId, signals: Signals) -> ShopNow:
    release_id = await recommender.pointers.release_id(tenant_id, signals.serving)
    try:
        catalog = await recommender.catalogs.current(tenant_id, signals.catalog)
    except CatalogUnavailable as error:
        logger.warning("the catalogue is unavailable: %s", error)
        catalog = None
    return ShopNow(release_id=release_id, catalog=catalog)


def answer(
    request: RecommendationRequest, served: Served, known: Known, timings: Timings
) -> Recommendations:
    return Recommendations(
        recommendation_id=str(ULID()),
        placement=request.placement,
        served_by=served.rung,
        degraded=served.degraded or not known.shopper.is_complete,
        release_id=served.release_id,
        items=[shown(item, known) for item in served.items],
        timings=timings,
    )


def shown(item: ScoredItem, known: Known) -> RecommendedItem:
    product = known.products[item.product_id]
    return RecommendedItem(
        product_id=item.product_id,
        score=item.score,
        title=product.title,
        url=product.url,
        image_url=product.image_url,
        price_cents=product.price_cents,
        currency=product.currency,
        reason=reason_of(item, known),
    )


def reason_of(item: ScoredItem, known: Known) -> Reason:
    behind = known.products.get(item.because_of) if item.because_of else None
    code = reason_code(item.reason, was_bought=item.because_of in known.bought)
    return Reason(
        code=code, words=words(code, behind.title if behind else None), product_id=item.because_of
    )


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
