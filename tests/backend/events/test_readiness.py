"""What Aisle says it has of a shop."""

from litestar import Litestar

from backend.cache import Redis
from backend.db import Pool
from backend.events import queries
from backend.tenancy import tenant_connection, tenant_key
from tests.backend.events.helping import event, stored_ids, until
from tests.conftest import Shop


async def test_a_new_shop_has_nothing(shop: Shop) -> None:
    answer = await shop.get("/v1/readiness")

    assert answer.status_code == 200
    readiness = answer.json()
    assert (readiness["products"], readiness["customers"]) == (0, 0)
    assert readiness["events"] == {
        "total": 0,
        "by_type": {},
        "first_at": None,
        "last_at": None,
        "unknown_products": {"events": 0, "examples": []},
    }
    assert readiness["dead_letters"] == 0
    assert readiness["serving"] is None
    assert readiness["last_training"] is None
    assert set(readiness["waiting"]) == {"requests", "oldest_s"}


async def test_events_are_counted_and_unknown_products_named(
    shop: Shop, other_shop: Shop, pool: Pool, redis: Redis, drained: None
) -> None:
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(
            "INSERT INTO product (product_id, title, updated_at) VALUES ('tea', 'Tea', now())"
        )
    await other_shop.post("/v1/events", event("other"))
    batch = [
        event("e1", product_id="tea", occurred_at="2026-01-01T00:00:00Z"),
        event("e2", product_id="gone", type="purchase"),
        event("e3", product_id="gone", customer_id=None, session_id="s"),
        event("e4", product_id="lost", occurred_at="2026-01-03T00:00:00Z"),
        event("e5", product_id=None, type="search"),
    ]
    await shop.post("/v1/events", {"events": batch})

    async def is_stored() -> bool:
        return len(await stored_ids(pool, shop)) == 5

    await until(is_stored)
    assert (await shop.get("/v1/readiness")).json()["events"] == {
        "total": 5,
        "by_type": {"view": 3, "purchase": 1, "search": 1},
        "first_at": "2026-01-01T00:00:00Z",
        "last_at": "2026-01-03T00:00:00Z",
        "unknown_products": {"events": 3, "examples": ["gone", "lost"]},
    }
    assert 0 < await redis.ttl(tenant_key(shop.tenant_id, "counts")) <= 5


async def test_what_serves_and_the_last_training_are_told(shop: Shop, pool: Pool) -> None:
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(
            """
            INSERT INTO release (release_id, champion, verdict, passed, metrics)
            VALUES ('r1', 'ease', 'EASE orders best.', false, '{}')
            """
        )
        await conn.execute("INSERT INTO serving (release_id) VALUES ('r1')")
        await conn.execute(
            """
            INSERT INTO training_job (job_id, state, requested_by, reason, created_at)
            VALUES ('j1', 'failed', 'schedule', 'old', now() - interval '1 day'),
                   ('j2', 'failed', 'schedule', 'too few purchases', now())
            """
        )

    readiness = (await shop.get("/v1/readiness")).json()

    assert readiness["serving"]["release_id"] == "r1"
    assert readiness["serving"]["champion"] == "ease"
    assert readiness["serving"]["passed"] is False
    assert readiness["last_training"]["job_id"] == "j2"
    assert readiness["last_training"]["reason"] == "too few purchases"


async def test_readiness_needs_the_secret_key(shop: Shop) -> None:
    assert (await shop.storefront.get("/v1/readiness")).status_code == 403


async def test_counting_reads_through_indexes_that_lead_to_the_shop(
    shop: Shop, app: Litestar, pool: Pool
) -> None:
    """However many events other shops have."""
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute("SET LOCAL enable_seqscan = off")
        plan = await conn.fetch("EXPLAIN " + queries.COUNTS)

    text = "\n".join(line[0] for line in plan)
    assert "event_of_customer" in text or "tenant_id_customer_id" in text, text
    assert "Seq Scan on event_" not in text, text
