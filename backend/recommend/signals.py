"""Did anything change? One Redis read per request tells; without Redis, age does."""

import logging
import time
from enum import Enum
from typing import Final

from msgspec import Struct
from redis import RedisError

from backend.cache import Redis
from backend.tenancy import TenantId, tenant_key

logger = logging.getLogger(__name__)

REDIS_FAILURES = (RedisError, OSError)

RECHECK_S = 5.0
RECHECK_WITHOUT_REDIS_S = 1.0


class Silent(Enum):
    """Redis did not answer."""

    SILENT = 0


SILENT: Final = Silent.SILENT
Counter = bytes | str | None | Silent


class Signals(Struct, frozen=True):
    """Counters that writers raise after they commit."""

    catalog: Counter
    serving: Counter


async def read_signals(redis: Redis, tenant_id: TenantId) -> Signals:
    try:
        catalog, serving = await redis.mget(
            tenant_key(tenant_id, "catalog", "revision"), tenant_key(tenant_id, "serving")
        )
    except REDIS_FAILURES as error:
        logger.warning("Redis does not answer, changes are polled: %s", error)
        return Signals(SILENT, SILENT)
    return Signals(catalog, serving)


class Checked(Struct, frozen=True):
    """When something was last read from PostgreSQL, and the counter at that time."""

    counter: Counter
    at_s: float

    def is_outdated(self, counter: Counter) -> bool:
        age_s = time.monotonic() - self.at_s
        if counter is SILENT:
            return age_s > RECHECK_WITHOUT_REDIS_S
        return counter != self.counter or age_s > RECHECK_S
