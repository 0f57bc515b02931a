"""Did anything change? One Redis read per request tells; without Redis, age does."""

import asyncio
import logging
import time
from enum import Enum
from typing import Final, NamedTuple

from msgspec import Struct
from redis import RedisError

from backend.cache import Redis
from backend.events.recent import lately_key, revision_key, shoppers_of, told_key
from backend.tenancy import TenantId, tenant_key

logger = logging.getLogger(__name__)

REDIS_FAILURES = (RedisError, OSError)

RECHECK_S = 5.0
RECHECK_WITHOUT_REDIS_S = 1.0
PATIENCE_S = 0.25


# Answers the values of the first ARGV[1] keys, and of the lists that follow the last entries.
READ = """
local strings = tonumber(ARGV[1])
local found = redis.call('MGET', unpack(KEYS, 1, strings))
for place = strings + 1, #KEYS do
    found[place] = redis.call('LINDEX', KEYS[place], -1)
end
return found
"""


class Silent(Enum):
    """Redis did not answer."""

    SILENT = 0


SILENT: Final = Silent.SILENT
Counter = bytes | str | None | Silent


class Asked(NamedTuple):
    keys: list[str]
    lists: list[str]
    """Of which the last entry is asked for."""
    answer: asyncio.Future[list[Counter]]


class Signals(Struct, frozen=True):
    """Counters and marks that writers change after they commit."""

    catalog: Counter
    serving: Counter
    events: Counter
    """Changes when events arrive by another way than the stream."""
    told: Counter
    """Changes with what the shop tells of the customer."""
    did: tuple[Counter, ...]
    """The last thing the customer and the session did, where asked for."""

    @property
    def are_known(self) -> bool:
        return SILENT not in (self.catalog, self.serving, self.events, self.told, *self.did)


class SignalReader:
    """One read of Redis at a time: whoever asks meanwhile shares the next.

    Every answer was read after it was asked for.
    """

    def __init__(self, redis: Redis) -> None:
        self._read_both = redis.register_script(READ)
        self._waiting: list[Asked] = []
        self._reading: asyncio.Task[None] | None = None

    async def read(
        self, tenant_id: TenantId, customer_id: str | None = None, session_id: str | None = None
    ) -> Signals:
        keys = [
            tenant_key(tenant_id, "catalog", "revision"),
            tenant_key(tenant_id, "serving"),
            revision_key(tenant_id),
            told_key(tenant_id, customer_id or ""),
        ]
        lists = [
            lately_key(tenant_id, *shopper) for shopper in shoppers_of(customer_id, session_id)
        ]
        asked = Asked(keys, lists, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_waiting())
        catalog, serving, events, told, *did = await asked.answer
        return Signals(catalog, serving, events, told, tuple(did))

    async def close(self) -> None:
        if self._reading is not None:
            await self._reading

    async def _read_waiting(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, []
            found = await self._read(
                list(dict.fromkeys(key for one in asked for key in one.keys)),
                list(dict.fromkeys(key for one in asked for key in one.lists)),
            )
            for one in asked:
                if not one.answer.done():
                    one.answer.set_result(
                        [found.get(key, SILENT) for key in (*one.keys, *one.lists)]
                    )

    async def _read(self, keys: list[str], lists: list[str]) -> dict[str, Counter]:
        """Nothing when Redis does not answer."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                values = await self._read_both(keys=[*keys, *lists], args=[len(keys)])
        except REDIS_FAILURES as error:
            logger.warning("Redis does not answer, changes are polled: %s", error)
            return {}
        except Exception:
            # whatever happened, those who wait must not wait for ever
            logger.exception("what changed could not be read")
            return {}
        return dict(zip((*keys, *lists), values, strict=True))


class Checked(Struct, frozen=True):
    """When something was last read from PostgreSQL, and the counter at that time."""

    counter: Counter
    at_s: float

    def is_outdated(self, counter: Counter) -> bool:
        age_s = time.monotonic() - self.at_s
        if counter is SILENT:
            return age_s > RECHECK_WITHOUT_REDIS_S
        return counter != self.counter or age_s > RECHECK_S
