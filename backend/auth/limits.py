"""How often a key may call: a token bucket in Redis, and one in this process without Redis.

A process takes a few tokens at a time and hands them out, so that most calls ask nobody.
"""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from typing import NamedTuple

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
TAKEN_PER_S = 10
"""So often a process asks for more while a key calls as fast as it may."""

# Answers how many tokens were taken, at most ARGV[3], and how many milliseconds to wait for one.
TAKE = """
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at_ms')
local tokens, at_ms = tonumber(held[1]) or burst, tonumber(held[2]) or now_ms
tokens = math.min(burst, tokens + math.max(0, now_ms - at_ms) * rate / 1000)
local taken, wait_ms = math.min(tonumber(ARGV[3]), math.floor(tokens)), 0
if taken < 1 then
    wait_ms = math.ceil((1 - tokens) * 1000 / rate)
end
tokens = tokens - taken
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at_ms', now_ms)
redis.call('PEXPIRE', KEYS[1], math.ceil(burst * 1000 / rate) + 1000)
return {taken, wait_ms}
"""


class Rate(Struct, frozen=True, kw_only=True):
    per_s: int
    burst: int

    @property
    def at_a_time(self) -> int:
        return max(1, self.per_s // TAKEN_PER_S)


class Grant(NamedTuple):
    tokens: int
    wait_s: float
    """0 where there are tokens."""


class Held:
    """Tokens of one bucket that this process took and has not handed out."""

    def __init__(self) -> None:
        self.tokens = 0
        self.fetching = asyncio.Lock()


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
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._ask_redis_at_s = 0.0

    async def take(self, tenant_id: TenantId, key_id: str, scope: str) -> None:
        """Take a token of this key's bucket for the scope. Raises TooManyRequests."""
        rate = rate_of(self._settings, scope)
        name = tenant_key(tenant_id, "rate", scope, key_id)
        held = self._held.get(name)
        if held is not None and held.tokens:
            held.tokens -= 1
            return
        wait_s = await self._take_held(name, rate)
        if wait_s > 0:
            raise TooManyRequests(
                f"this key may call {rate.per_s} times per second, and {rate.burst} times at once",
                retry_after_s=math.ceil(wait_s),
            )

    async def _take_held(self, name: str, rate: Rate) -> float:
        """Seconds to wait; one caller fetches more tokens for all that wait for some."""
        held = self._held.setdefault(name, Held())
        self._held.move_to_end(name)
        if len(self._held) > KEPT_BUCKETS:
            self._held.popitem(last=False)
        async with held.fetching:
            if held.tokens:
                held.tokens -= 1
                return 0.0
            grant = await self._take_shared(name, rate)
            if grant is None:
                return self._take_local(name, rate)
            held.tokens = max(0, grant.tokens - 1)
            return grant.wait_s

    async def _take_shared(self, name: str, rate: Rate) -> Grant | None:
        """None when Redis does not answer."""
        if time.monotonic() < self._ask_redis_at_s:
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                taken, wait_ms = await self._take(
                    keys=[name], args=[rate.per_s, rate.burst, rate.at_a_time]
                )
        except (RedisError, OSError) as error:
            logger.warning("rates are limited per process while Redis is away: %s", error)
            self._ask_redis_at_s = time.monotonic() + WITHOUT_REDIS_S
            return None
        return Grant(int(taken), int(wait_ms) / 1000)

    def _take_local(self, name: str, rate: Rate) -> float:
        now_s = time.monotonic()
        bucket = self._local.setdefault(name, Bucket(tokens=rate.burst, at_s=now_s))
        self._local.move_to_end(name)
        if len(self._local) > KEPT_BUCKETS:
            self._local.popitem(last=False)
        return bucket.take(rate, now_s)
