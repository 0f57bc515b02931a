"""Answers for active shoppers, made before they ask and kept where they would be looked for."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta

import msgspec

from backend.inference import InferenceUnavailable, ReleaseUnusable
from backend.recommend import ladder, queries
from backend.recommend.live_catalog import LiveCatalog
from backend.recommend.pipeline import Known, Recommender, ShopNow, question_of, read_shop
from backend.recommend.schemas import RecommendationRequest
from backend.recommend.shopper import read_shopper
from backend.tenancy import TenantId, tenant_connection, tenant_key

logger = logging.getLogger(__name__)

ACTIVE_WITHIN = timedelta(days=14)
MOST_SHOPPERS = 2_000
EVERY_S = 3600.0
KEPT_S = int(2 * EVERY_S)
AT_ONCE = 4
LONGEST_S = 1800
SETTLED_WITHIN_S = 5.0
LOOK_EVERY_S = 0.05


async def precompute(recommender: Recommender, tenant_id: TenantId) -> int:
    """Make the answers of the release in service for the shop's active shoppers; says how many.

    0 without a release, and while another process is at it. Safe to repeat.
    """
    if not await recommender.redis.set(working(tenant_id), 1, nx=True, ex=LONGEST_S):
        return 0
    try:
        return await _precompute(recommender, tenant_id)
    finally:
        await recommender.redis.delete(working(tenant_id))


def working(tenant_id: TenantId) -> str:
    return tenant_key(tenant_id, "precompute")


async def _precompute(recommender: Recommender, tenant_id: TenantId) -> int:
    shop = await read_shop(recommender, tenant_id, await recommender.signals.read(tenant_id))
    if shop.release_id is None or shop.catalog is None:
        return 0
    since = datetime.now(UTC) - ACTIVE_WITHIN
    async with tenant_connection(recommender.pool, tenant_id) as conn:
        customers = await queries.active_customers(conn, since, MOST_SHOPPERS)
    ways = await recommender.asked.ways(tenant_id)
    try:
        await _settled(recommender, tenant_id, shop.release_id, shop.catalog)
        return await _answer_all(
            recommender,
            tenant_id,
            shop,
            [msgspec.structs.replace(way, customer_id=name) for name in customers for way in ways],
        )
    except (ReleaseUnusable, InferenceUnavailable) as error:
        logger.warning("answers are not made ahead: %s", error)
        return 0


async def _settled(
    recommender: Recommender, tenant_id: TenantId, release_id: str, catalog: LiveCatalog
) -> None:
    """Wait until the release knows what arrived after it; some releases never do."""
    inference = recommender.parts.inference
    try:
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while True:
                release = await inference.release(tenant_id, release_id, catalog)
                arrived = catalog.arrivals(release).products
                if all(arrival.product_id in release.index for arrival in arrived):
                    return
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        return


async def _answer_all(
    recommender: Recommender,
    tenant_id: TenantId,
    shop: ShopNow,
    requests: list[RecommendationRequest],
) -> int:
    places = asyncio.Semaphore(AT_ONCE)

    async def answer(request: RecommendationRequest) -> None:
        async with places:
            shopper = await read_shopper(recommender.redis, recommender.pool, tenant_id, request)
            known = Known(shop=shop, shopper=shopper, now_s=time.time())
            question = question_of(tenant_id, request, known)
            if question is not None:
                await ladder.prepare(recommender.parts, question, KEPT_S)

    async with asyncio.TaskGroup() as group:
        for request in requests:
            group.create_task(answer(request))
    return len(requests)
