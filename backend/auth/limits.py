"""How often a key may call: a token bucket in Redis, and one in this process without Redis."""

import asyncio
import logging
import math
import time
from collections import OrderedDict

from msgspec import Struct
from redis import RedisError

from backend.cache import Redis
from backend.errors import TooManyRequests
from backend.settings import Settings
from backend.tenancy import TenantId, tenant_key

logger = logging.getLogger(__name__)

PATIENCE_S = 0.25
WITHOUT_REDIS_S = 1.0
"""After a failure Redis is left alone for this long, so that not every request waits for it."""
KEPT_BUCKETS = 10_000

# Answers how many milliseconds to wait; 0 when a token was taken.
TAKE = """
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at_ms')
local tokens, at_ms = tonumber(held[1]) or burst, tonumber(held[2]) or now_ms
tokens = math.min(burst, tokens + math.max(0, now_ms - at_ms) * rate / 1000)
local wait_ms = 0
if tokens >= 1 then
    tokens = tokens - 1
else
    wait_ms = math.ceil((1 - tokens) * 1000 / rate)
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at_ms', now_ms)
redis.call('PEXPIRE', KEYS[1], math.ceil(burst * 1000 / rate) + 1000)
return wait_ms
"""


class Rate(Struct, frozen=True, kw_only=True):
    per_s: int
    burst: int


class Bucket(Struct, kw_only=True):
    tokens: float
    at_s: float

    def take(self, rate: Rate, now_s: float) -> float:
        """Seconds to wait; 0 when a token was taken."""
        self.tokens = min(rate.burst, self.tokens + (now_s - self.at_s) * rate.per_s)
        self.at_s = now_s
        if self.tokens < 1:
            return (1 - self.tokens) / rate.per_s
        self.tokens -= 1
        return 0.0


def rate_of(settings: Settings, scope: str) -> Rate:
    """Of the class of routes a scope opens; twice the rate may come at once."""
    per_s = {
        "recommend": settings.aisle_rate_recommend,
        "events": settings.aisle_rate_events,
        "collect": settings.aisle_rate_events,
    }.get(scope, settings.aisle_rate_other)
    return Rate(per_s=per_s, burst=2 * per_s)


class Limits:
    """One per process."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._settings = settings
        self._take = redis.register_script(TAKE)
        self._local: OrderedDict[str, Bucket] = OrderedDict()
        self._ask_redis_at_s = 0.0

    async def take(self, tenant_id: TenantId, key_id: str, scope: str) -> None:
        """Take a token of this key's bucket for the scope. Raises TooManyRequests."""
        rate = rate_of(self._settings, scope)
        name = tenant_key(tenant_id, "rate", scope, key_id)
        wait_s = await self._take_shared(name, rate)
        if wait_s is None:
            wait_s = self._take_local(name, rate)
        if wait_s > 0:
            raise TooManyRequests(
                f"this key may call {rate.per_s} times per second, and {rate.burst} times at once",
                retry_after_s=math.ceil(wait_s),
            )

    async def _take_shared(self, name: str, rate: Rate) -> float | None:
        """None when Redis does not answer."""
        if time.monotonic() < self._ask_redis_at_s:
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                wait_ms = await self._take(keys=[name], args=[rate.per_s, rate.burst])
        except (RedisError, OSError) as error:
            logger.warning("rates are limited per process while Redis is away: %s", error)
            self._ask_redis_at_s = time.monotonic() + WITHOUT_REDIS_S
            return None
        return int(wait_ms) / 1000

    def _take_local(self, name: str, rate: Rate) -> float:
        now_s = time.monotonic()
        bucket = self._local.setdefault(name, Bucket(tokens=rate.burst, at_s=now_s))
        self._local.move_to_end(name)
        if len(self._local) > KEPT_BUCKETS:
            self._local.popitem(last=False)
        return bucket.take(rate, now_s)
