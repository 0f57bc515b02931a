"""The Redis stream between accepting events and storing them."""

import time
from typing import cast

import msgspec
from msgspec import Struct

from backend.cache import Redis
from backend.events.recent import LATELY_S, MOST_LATELY, lately_by_shopper
from backend.events.schemas import EventBatch

STREAM = "aisle:events"
GROUP = "drain"

ENCODER = msgspec.msgpack.Encoder(uuid_format="bytes")
DECODER = msgspec.msgpack.Decoder(EventBatch)

# One command, so an event is never in the stream without being in the shopper's recent behaviour.
APPEND = """
redis.call('XADD', KEYS[1], '*', 'tenant', ARGV[1], 'batch', ARGV[2])
local at = 5
for shopper = 2, #KEYS do
    local last = at + tonumber(ARGV[at])
    redis.call('ZADD', KEYS[shopper], 'NX', unpack(ARGV, at + 1, last))
    redis.call('ZREMRANGEBYRANK', KEYS[shopper], 0, -1 - tonumber(ARGV[3]))
    redis.call('EXPIRE', KEYS[shopper], ARGV[4])
    at = last + 1
end
"""


class Backlog(Struct, frozen=True, kw_only=True):
    """What waits to be stored, of all shops: requests, and how old the oldest is."""

    entries: int
    oldest_s: float


def encode(batch: EventBatch) -> bytes:
    return ENCODER.encode(batch)


def decode(payload: bytes) -> EventBatch:
    """Raises msgspec.DecodeError."""
    return DECODER.decode(payload)


async def append(redis: Redis, batch: EventBatch, payload: bytes) -> None:
    """Add one entry to the stream, and its events to what their shoppers did lately."""
    keys = [STREAM]
    values: list[bytes | str | int | float] = [str(batch.tenant_id), payload, MOST_LATELY, LATELY_S]
    for key, scored in lately_by_shopper(batch).items():
        keys.append(key)
        values.append(len(scored))
        values.extend(scored)
    await redis.eval(APPEND, len(keys), *keys, *values)


async def backlog(redis: Redis) -> Backlog:
    """Everything in the stream waits: what is stored is deleted from it."""
    entries = await redis.xlen(STREAM)
    oldest = cast("list[tuple[bytes, object]]", await redis.xrange(STREAM, count=1))
    if not oldest:
        return Backlog(entries=0, oldest_s=0.0)
    written_ms = int(oldest[0][0].partition(b"-")[0])
    return Backlog(entries=entries, oldest_s=max(0.0, time.time() - written_ms / 1000))
