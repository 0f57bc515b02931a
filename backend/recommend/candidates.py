"""Candidates of a release: from the cache, else from the engine."""

import hashlib
import logging
import time
from collections import OrderedDict

import msgspec
from msgspec import Struct

from backend.cache import Redis
from backend.inference import Listed
from backend.recommend.schemas import RecommendationRequest
from backend.recommend.shopper import Shopper
from backend.recommend.signals import REDIS_FAILURES
from backend.tenancy import TenantId, tenant_key
from ml.serving.request import EngineAnswer

logger = logging.getLogger(__name__)

REDIS_TTL_S = 60
PROCESS_TTL_S = 1.5
KEPT_ANSWERS = 2_000
SLACK = 4
"""More candidates than asked for, so that a few sold out since still leave enough."""
LIMIT_CLASSES = (25, 60, 150, 504)


class Kept(Struct, frozen=True, gc=False):
    answer: EngineAnswer
    until_s: float


class CandidateCache:
    """The engine's answers: for a moment in this process, for a minute in Redis.

    Without Redis it is only smaller.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._decoder = msgspec.msgpack.Decoder(EngineAnswer)

    async def get(self, key: str) -> EngineAnswer | None:
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() < kept.until_s:
            return kept.answer
        try:
            stored = await self._redis.get(key)
        except REDIS_FAILURES as error:
            logger.warning("the candidate cache cannot be read: %s", error)
            return None
        if not isinstance(stored, bytes):
            return None
        try:
            answer = self._decoder.decode(stored)
        except msgspec.DecodeError:
            return None  # written by another version of the product
        self._keep(key, answer)
        return answer

    async def put(self, key: str, answer: EngineAnswer, kept_s: int = REDIS_TTL_S) -> None:
        self._keep(key, answer)
        try:
            await self._redis.set(key, msgspec.msgpack.encode(answer), ex=kept_s)
        except REDIS_FAILURES as error:
            logger.warning("the candidate cache cannot be written: %s", error)

    def _keep(self, key: str, answer: EngineAnswer) -> None:
        self._kept[key] = Kept(answer, time.monotonic() + PROCESS_TTL_S)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_ANSWERS:
            self._kept.popitem(last=False)


def limit_class(limit: int) -> int:
    """How many candidates to ask for: few sizes, so that requests share cached answers."""
    return next(size for size in LIMIT_CLASSES if size >= limit + SLACK)


def cache_key(
    tenant_id: TenantId,
    release: Listed,
    request: RecommendationRequest,
    stored: Shopper,
    among: list[str] | None = None,
) -> str:
    """Equal for requests that the engine answers alike; the stock of the moment is not in it.

    `stored` is the shopper without `request.recent`, which counts as it was sent. among: sorted.
    """
    about = msgspec.structs.replace(
        request,
        customer_id=None,
        session_id=None,
        limit=limit_class(request.limit),
        exclude=sorted(request.exclude),
        promoted=sorted(request.promoted),
    )
    known = len(release.product_ids)  # products that arrived since widen it
    packed = msgspec.msgpack.encode(
        (known, about, msgspec.structs.replace(stored, is_complete=True), among)
    )
    digest = hashlib.blake2b(packed, digest_size=16).hexdigest()
    return tenant_key(tenant_id, "candidates", release.release_id, digest)
