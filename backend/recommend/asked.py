"""How a shop asks for recommendations, so that its answers can be made before it asks again."""

import asyncio
import logging
import time
from collections import OrderedDict
from typing import Any

import msgspec

from backend.cache import Redis
from backend.recommend.candidates import limit_class
from backend.recommend.placements import RECIPES
from backend.recommend.schemas import RecommendationRequest
from backend.recommend.signals import PATIENCE_S, REDIS_FAILURES
from backend.tenancy import TenantId, tenant_key

logger = logging.getLogger(__name__)

NOTED_S = 600.0
"""The same way to ask is noted so rarely by one process."""
REMEMBERED_S = 7 * 24 * 3600
MOST_WAYS = 3
KEPT = 10_000
USUAL = RecommendationRequest(placement="for-you")
"""How a shop will ask that never did."""

ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(RecommendationRequest)


class AskedWays:
    """The last ways in which each shop asked for known customers, shared through Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._noted: OrderedDict[tuple[TenantId, bytes], float] = OrderedDict()

    async def note(self, tenant_id: TenantId, request: RecommendationRequest) -> None:
        way = way_of(request)
        if way is None:
            return
        packed = ENCODER.encode(way)
        now = time.monotonic()
        if now - self._noted.get((tenant_id, packed), -NOTED_S) < NOTED_S:
            return
        self._noted[tenant_id, packed] = now
        if len(self._noted) > KEPT:
            self._noted.popitem(last=False)
        name = tenant_key(tenant_id, "asked")
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zadd(name, {packed: time.time()})
        pipeline.zremrangebyrank(name, 0, -1 - MOST_WAYS)
        pipeline.expire(name, REMEMBERED_S)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await pipeline.execute()
        except REDIS_FAILURES as error:
            logger.warning("how the shop asks could not be noted: %s", error)

    async def ways(self, tenant_id: TenantId) -> list[RecommendationRequest]:
        """The last first, without a shopper; the usual one where nobody asked."""
        redis: Any = self._redis
        packed = await redis.zrevrange(tenant_key(tenant_id, "asked"), 0, -1)
        found: list[RecommendationRequest] = []
        for way in packed:
            try:
                found.append(DECODER.decode(way))
            except msgspec.DecodeError:
                continue  # noted by another version of the product
        return found or [USUAL]


def way_of(request: RecommendationRequest) -> RecommendationRequest | None:
    """The request as it would come for any customer; None where it is about more than that."""
    recipe = RECIPES[request.placement]
    particular = request.exclude or request.promoted or request.recent
    if not (recipe.asks_release and recipe.is_personal) or particular:
        return None
    if request.customer_id is None or request.session_id is not None:
        return None
    return msgspec.structs.replace(
        request,
        customer_id=None,
        product_id=None,
        product_ids=[],
        locale=None,
        limit=smallest(request.limit),
    )


def smallest(limit: int) -> int:
    """One number for all limits that share candidates."""
    return next(n for n in range(1, limit + 1) if limit_class(n) == limit_class(limit))
