"""The Redis stream between accepting events and storing them."""

import time
from typing import cast

import msgspec
from msgspec import Struct
from redis import ResponseError

from backend.cache import Redis
from backend.events.recent import LATELY_S, MOST_LATELY, TRIMMED_EVERY, lately_by_shopper
from backend.events.schemas import EventBatch

STREAM = "aisle:events"
GROUP = "drain"
CONSUMER = "drain"
"""Shared by all drains: whose an entry is does not matter, only how long it has been held."""
READ_BLOCK_MS = 1000
LEFT_OVER_AFTER_MS = 5000

RawEntry = tuple[bytes, dict[bytes, bytes]]

ENCODER = msgspec.msgpack.Encoder(uuid_format="bytes")
DECODER = msgspec.msgpack.Decoder(EventBatch)

# One command, so an event is never in the stream without being in what its shopper did lately.
# Shoppers come in one argument: hundreds of arguments would cost more than all the rest.
APPEND = """
redis.call('XADD', KEYS[1], '*', 'tenant', ARGV[1], 'batch', ARGV[2])
for key, entries in pairs(cmsgpack.unpack(ARGV[3])) do
    local length = redis.call('RPUSH', key, unpack(entries))
    if length == #entries or length % ARGV[6] < #entries then
        redis.call('LTRIM', key, -ARGV[4], -1)
        redis.call('EXPIRE', key, ARGV[5])
    end
end
"""


class Entry(Struct, frozen=True, kw_only=True):
    """What one request brought."""

    entry_id: str
    tenant: str
    payload: bytes
    batch: EventBatch | None
    """None: the payload cannot be read."""

    @property
    def size(self) -> int:
        return len(self.batch.rows) if self.batch else 1


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
    lately = ENCODER.encode(lately_by_shopper(batch))
    await redis.eval(
        APPEND,
        1,
        STREAM,
        str(batch.tenant_id),
        payload,
        lately,
        MOST_LATELY,
        LATELY_S,
        TRIMMED_EVERY,
    )


async def fresh(redis: Redis, count: int) -> list[Entry]:
    """Entries nobody has read, waiting for one up to READ_BLOCK_MS."""
    try:
        found = await redis.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count, READ_BLOCK_MS)
    except ResponseError as error:
        if not str(error).startswith("NOGROUP"):
            raise
        await _make_group(redis)
        return []
    streams = cast("list[tuple[bytes, list[RawEntry]]]", found)
    return [_entry(raw) for _, raws in streams for raw in raws]


async def left_over(redis: Redis, count: int) -> list[Entry]:
    """Entries read by somebody LEFT_OVER_AFTER_MS ago and not stored since.

    Their reader may live: then both store them, and they count once.
    """
    try:
        found = await redis.xautoclaim(
            STREAM, GROUP, CONSUMER, min_idle_time=LEFT_OVER_AFTER_MS, count=count
        )
    except ResponseError as error:
        if not str(error).startswith("NOGROUP"):
            raise
        return []
    raws = cast("list[RawEntry | tuple[None, None]]", found[1])
    return [_entry(raw) for raw in raws if raw[0] is not None]


async def forget(redis: Redis, entries: list[Entry]) -> None:
    """Safe to repeat."""
    ids = [entry.entry_id for entry in entries]
    pipeline = redis.pipeline(transaction=True)
    pipeline.xack(STREAM, GROUP, *ids)
    pipeline.xdel(STREAM, *ids)
    await pipeline.execute()


async def _make_group(redis: Redis) -> None:
    try:
        await redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def _entry(raw: RawEntry) -> Entry:
    entry_id, fields = raw
    payload = fields.get(b"batch", b"")
    try:
        batch = decode(payload)
    except msgspec.DecodeError:
        batch = None
    return Entry(
        entry_id=entry_id.decode(),
        tenant=fields.get(b"tenant", b"").decode(errors="replace"),
        payload=payload,
        batch=batch,
    )


async def backlog(redis: Redis) -> Backlog:
    """Everything in the stream waits: what is stored is deleted from it."""
    entries = await redis.xlen(STREAM)
    oldest = cast("list[tuple[bytes, object]]", await redis.xrange(STREAM, count=1))
    if not oldest:
        return Backlog(entries=0, oldest_s=0.0)
    written_ms = int(oldest[0][0].partition(b"-")[0])
    return Backlog(entries=entries, oldest_s=max(0.0, time.time() - written_ms / 1000))
