"""From the stream into PostgreSQL: each event once, and no entry stops the others."""

from uuid import uuid4

from backend.cache import Redis
from backend.db import Pool
from backend.events import stream
from backend.events.drain import entries_to_read, parts
from backend.events.schemas import EventBatch, EventRow
from backend.events.stream import STREAM, Entry
from backend.tenancy import tenant_connection
from tests.backend.events.helping import event, now, stored_ids, until
from tests.conftest import Shop


def row(event_id: str, **fields: object) -> EventRow:
    good: dict[str, object] = {
        "type": "view",
        "customer_id": "ann",
        "session_id": None,
        "product_id": "tea",
        "occurred_at": now(),
    }
    return EventRow(event_id=event_id, **(good | fields))  # pyright: ignore[reportArgumentType]


async def dead_letters_of(shop: Shop) -> list[dict[str, object]]:
    return (await shop.get("/v1/events/dead-letters")).json()["items"]


async def test_an_event_sent_twice_counts_once(shop: Shop, pool: Pool, drained: None) -> None:
    await shop.post("/v1/events", event("e1"))
    await shop.post("/v1/events", event("e1"))
    await shop.post("/v1/events", event("e1", occurred_at="2025-06-01T00:00:00Z"))
    await shop.post("/v1/events", event("last"))

    async def is_done() -> bool:
        return "last" in await stored_ids(pool, shop)

    await until(is_done)
    assert await stored_ids(pool, shop) == ["e1", "last"]


async def test_two_shops_may_use_the_same_event_ids(
    shop: Shop, other_shop: Shop, pool: Pool, drained: None
) -> None:
    for sender in (shop, other_shop):
        await sender.post("/v1/events", event("same", product_id=f"of {sender.slug}"))

    for reader in (shop, other_shop):

        async def has_it(reader: Shop = reader) -> bool:
            return await stored_ids(pool, reader) == ["same"]

        await until(has_it)
        [stored] = (await reader.get("/v1/events", customer_id="ann")).json()["items"]
        assert stored["product_id"] == f"of {reader.slug}"


async def test_poison_is_put_aside_and_the_rest_stored(
    shop: Shop, redis: Redis, pool: Pool, drained: None
) -> None:
    """PostgreSQL refuses U+0000, which no route lets through."""
    for number in range(20):
        events = [row(f"e{number}-{n}") for n in range(5)]
        if number in {3, 11}:
            events[2] = row(f"e{number}-2", product_id="tea\0")
        await append(redis, shop, events)

    async def is_done() -> bool:
        return len(await stored_ids(pool, shop)) == 90 and len(await dead_letters_of(shop)) == 2

    await until(is_done)
    first = (await dead_letters_of(shop))[-1]
    assert first["events"] == 5
    assert first["event_ids"] == [f"e3-{n}" for n in range(5)]
    assert "0x00" in str(first["reason"])


async def test_an_unreadable_entry_is_put_aside(
    shop: Shop, redis: Redis, pool: Pool, drained: None
) -> None:
    await redis.xadd(STREAM, {"tenant": str(shop.tenant_id), "batch": b"\xc1 nonsense"})
    await redis.xadd(STREAM, {"tenant": str(shop.tenant_id)})
    await redis.xadd(STREAM, {"tenant": "nobody", "batch": b""})
    await shop.post("/v1/events", event("e1"))

    async def is_done() -> bool:
        stored = await stored_ids(pool, shop)
        return stored == ["e1"] and len(await dead_letters_of(shop)) == 2

    await until(is_done)
    letter = (await dead_letters_of(shop))[0]
    assert letter["reason"] == "the entry cannot be read"
    answer = await shop.api.post(f"/v1/events/dead-letters/{letter['entry_id']}/retry")
    assert answer.status_code == 422


async def test_events_of_a_deleted_shop_stop_nobody(
    shop: Shop, redis: Redis, pool: Pool, drained: None
) -> None:
    nobody = EventBatch(tenant_id=uuid4(), received_at=now(), rows=[row("e0")])
    await stream.append(redis, nobody, stream.encode(nobody))
    await shop.post("/v1/events", event("e1"))

    async def is_done() -> bool:
        return await stored_ids(pool, shop) == ["e1"]

    await until(is_done)
    assert await dead_letters_of(shop) == []


async def test_a_dead_letter_is_sent_again(
    shop: Shop, other_shop: Shop, pool: Pool, drained: None
) -> None:
    batch = EventBatch(tenant_id=shop.tenant_id, received_at=now(), rows=[row("e1"), row("e2")])
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(
            "INSERT INTO event_dead_letter (entry_id, payload, reason) VALUES ('7-0', $1, 'x')",
            stream.encode(batch),
        )
    path = "/v1/events/dead-letters/7-0/retry"

    assert (await other_shop.api.post(path)).status_code == 404
    answer = await shop.api.post(path)

    assert answer.status_code == 202
    assert answer.json() == {"entry_id": "7-0", "events": 2}

    async def is_done() -> bool:
        return await stored_ids(pool, shop) == ["e1", "e2"]

    await until(is_done)
    assert await dead_letters_of(shop) == []
    assert (await shop.api.post(path)).status_code == 404


async def test_dead_letters_are_listed_page_by_page(shop: Shop, pool: Pool) -> None:
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(
            """
            INSERT INTO event_dead_letter (entry_id, payload, reason)
            SELECT n || '-0', '', 'x' FROM generate_series(1, 120) AS n
            """
        )

    seen: list[str] = []
    page = (await shop.get("/v1/events/dead-letters")).json()
    while True:
        seen += [letter["entry_id"] for letter in page["items"]]
        if page["next_cursor"] is None:
            break
        page = (await shop.get("/v1/events/dead-letters", cursor=page["next_cursor"])).json()

    assert len(seen) == 120
    assert len(set(seen)) == 120


def test_transactions_have_a_size() -> None:
    sizes = [3000, 2500, 400, 6000, 1]
    entries = [entry_of(size) for size in sizes]

    assert [[entry.size for entry in part] for part in parts(entries)] == [
        [3000],
        [2500, 400],
        [6000],
        [1],
    ]


def test_as_many_entries_are_read_as_make_a_transaction() -> None:
    assert entries_to_read([entry_of(500)] * 4, before=100) == 10
    assert entries_to_read([entry_of(50)] * 4, before=100) == 100
    assert entries_to_read([entry_of(1)] * 4, before=100) == 1000
    assert entries_to_read([], before=100) == 100


def entry_of(size: int) -> Entry:
    batch = EventBatch(tenant_id=uuid4(), received_at=now(), rows=[row("e")] * size)
    return Entry(entry_id="1-0", tenant="", payload=b"", batch=batch)


async def append(redis: Redis, shop: Shop, rows: list[EventRow]) -> None:
    batch = EventBatch(tenant_id=shop.tenant_id, received_at=now(), rows=rows)
    await stream.append(redis, batch, stream.encode(batch))
