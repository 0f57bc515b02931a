"""Two shops never see each other, whatever the code above the database forgets."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from backend.db import Connection, Pool, open_pool
from backend.settings import Settings
from backend.tenancy import UnsafeDatabaseRole, refuse_unsafe_role, tenant_connection, tenant_key
from tests.conftest import Shop

UNPROTECTED = """
    SELECT c.relname FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
      AND NOT (
          c.relrowsecurity AND c.relforcerowsecurity
          AND (c.relispartition OR EXISTS (
              SELECT FROM pg_policy p WHERE p.polrelid = c.oid
                AND pg_get_expr(p.polqual, p.polrelid) LIKE '%app.tenant_id%'
          ))
      )
"""


@pytest.fixture
async def owner(settings: Settings) -> AsyncIterator[Connection]:
    """A connection of the schema's owner, whose changes are undone."""
    assert settings.database_url
    async with await open_pool(settings.database_url, 1) as pool, pool.acquire() as conn:
        changes = conn.transaction()
        await changes.start()
        yield conn
        await changes.rollback()


async def test_every_table_with_tenants_is_forced_to_one_policy(owner: Connection) -> None:
    assert await owner.fetch(UNPROTECTED) == []


@pytest.mark.parametrize(
    "protection",
    [
        "",
        "ALTER TABLE planted ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE planted ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    ],
)
async def test_a_table_somebody_forgot_is_found(owner: Connection, protection: str) -> None:
    await owner.execute(f"CREATE TABLE planted (tenant_id uuid NOT NULL); {protection}")

    assert [record["relname"] for record in await owner.fetch(UNPROTECTED)] == ["planted"]


@pytest.mark.parametrize("table", ["product", "customer", "event", "import_run"])
async def test_without_a_tenant_there_is_an_error_and_no_empty_answer(
    pool: Pool, table: str
) -> None:
    async with pool.acquire() as conn:
        with pytest.raises((asyncpg.UndefinedObjectError, asyncpg.InvalidTextRepresentationError)):
            await conn.fetch(f"SELECT * FROM {table}")


async def test_a_partition_shows_nothing_by_itself(pool: Pool, shop: Shop) -> None:
    async with tenant_connection(pool, shop.tenant_id) as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.fetch("SELECT * FROM event_later")


async def test_the_owner_of_the_tables_may_not_serve(settings: Settings) -> None:
    assert settings.database_url
    async with await open_pool(settings.database_url, 1) as pool:
        with pytest.raises(UnsafeDatabaseRole, match="aisle migrate"):
            await refuse_unsafe_role(pool)


async def test_equal_ids_in_two_shops_are_two_products(shop: Shop, other_shop: Shop) -> None:
    await shop.has_products({"product_id": "p1", "title": "Ours"})
    await other_shop.has_products({"product_id": "p1", "title": "Theirs"})

    deleted = await other_shop.api.delete("/v1/products/p1")
    kept = await shop.get("/v1/products/p1")

    assert deleted.json()["status"] == "deleted"
    assert kept.json()["title"] == "Ours"
    assert (await other_shop.get("/v1/products/p1")).status_code == 404


async def test_another_shops_ids_are_not_found(shop: Shop, other_shop: Shop) -> None:
    await shop.has_products({"product_id": "p1"})
    await shop.post("/v1/customers", {"customer_id": "c1"})
    answer = await shop.api.post(
        "/v1/imports?kind=products&format=csv", content=b"product_id,title\n1,A\n"
    )
    import_id = answer.json()["import_id"]

    for path in (
        "/v1/products/p1",
        "/v1/customers/c1",
        f"/v1/imports/{import_id}",
        f"/v1/imports/{import_id}/errors",
    ):
        assert (await shop.get(path)).status_code == 200, path
        assert (await other_shop.get(path)).status_code == 404, path
    assert (await other_shop.api.delete("/v1/products/p1")).status_code == 404
    assert (await other_shop.get("/v1/imports")).json()["imports"] == []
    stock = {"inventory": [{"product_id": "p1", "in_stock": False}]}
    results = (await other_shop.post("/v1/inventory", stock)).json()["results"]
    assert results == [{"status": "unknown", "id": "p1"}]


async def test_a_row_of_another_shop_cannot_be_written(
    pool: Pool, shop: Shop, other_shop: Shop
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with tenant_connection(pool, shop.tenant_id) as conn:
            await conn.execute(
                "INSERT INTO customer (tenant_id, customer_id) VALUES ($1, 'c')",
                other_shop.tenant_id,
            )


def test_no_two_lists_of_parts_share_a_redis_key(shop: Shop) -> None:
    assert tenant_key(shop.tenant_id, "a:b", "c") != tenant_key(shop.tenant_id, "a", "b:c")
