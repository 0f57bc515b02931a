"""Write, read and delete products and their stock."""

from datetime import UTC, datetime

import msgspec

from backend.cache import Redis
from backend.catalog import queries
from backend.catalog.batch import Form, answer_batch, read_batch, read_row
from backend.catalog.revision import announce_change
from backend.catalog.schemas import (
    BatchAnswer,
    Product,
    ProductFields,
    ProductIn,
    ProductList,
    RowResult,
    Status,
    StockIn,
)
from backend.catalog.settle import (
    ProductRow,
    StockRow,
    id_flaw,
    settle_product,
    settle_stock,
    settle_time,
)
from backend.cursor import next_cursor, position_of
from backend.db import Pool
from backend.errors import BadRequest, NotFound
from backend.explain import Flaw
from backend.tenancy import TenantId, tenant_connection

PRODUCTS: Form[ProductIn, ProductRow] = Form(
    member="products",
    id_field="product_id",
    decoder=msgspec.json.Decoder(ProductIn),
    settle=settle_product,
)
STOCK: Form[StockIn, StockRow] = Form(
    member="inventory",
    id_field="product_id",
    decoder=msgspec.json.Decoder(StockIn),
    settle=settle_stock,
)
CHANGES: frozenset[Status] = frozenset({"created", "updated", "deleted"})


class AfterProduct(msgspec.Struct, frozen=True, array_like=True):
    product_id: str


async def write_products(pool: Pool, redis: Redis, tenant_id: TenantId, body: bytes) -> BatchAnswer:
    """Raises BadRequest or TooLarge; a wrong row is only rejected."""
    batch = read_batch(body, PRODUCTS, datetime.now(UTC))
    async with tenant_connection(pool, tenant_id) as conn:
        statuses = await queries.upsert_products(conn, list(batch.latest.values()))
    if not CHANGES.isdisjoint(statuses.values()):
        await announce_change(redis, tenant_id)
    return answer_batch(batch, PRODUCTS, statuses)


async def put_product(
    pool: Pool, redis: Redis, tenant_id: TenantId, product_id: str, body: bytes
) -> RowResult:
    def settle(sent: ProductFields, now: datetime) -> ProductRow | Flaw:
        named = ProductIn(product_id=product_id, **msgspec.structs.asdict(sent))
        return id_flaw(product_id, "product_id") or settle_product(named, now)

    form: Form[ProductFields, ProductRow] = Form(
        member="", id_field="product_id", decoder=msgspec.json.Decoder(ProductFields), settle=settle
    )
    row = read_row(body, form, datetime.now(UTC))
    async with tenant_connection(pool, tenant_id) as conn:
        statuses = await queries.upsert_products(conn, [row])
    if not CHANGES.isdisjoint(statuses.values()):
        await announce_change(redis, tenant_id)
    return RowResult(status=statuses[product_id], id=product_id)


async def write_stock(pool: Pool, redis: Redis, tenant_id: TenantId, body: bytes) -> BatchAnswer:
    batch = read_batch(body, STOCK, datetime.now(UTC))
    async with tenant_connection(pool, tenant_id) as conn:
        statuses = await queries.write_stock(conn, list(batch.latest.values()))
    if not CHANGES.isdisjoint(statuses.values()):
        await announce_change(redis, tenant_id)
    return answer_batch(batch, STOCK, statuses)


async def delete_product(
    pool: Pool, redis: Redis, tenant_id: TenantId, product_id: str, updated_at: datetime | None
) -> RowResult:
    """Raises NotFound for a product that never was."""
    version = settle_time(updated_at, datetime.now(UTC), "updated_at")
    if isinstance(version, Flaw):
        raise BadRequest(version.message)
    async with tenant_connection(pool, tenant_id) as conn:
        status = await queries.delete_product(conn, product_id, version)
    if status is None:
        raise NotFound(f"no product {product_id}")
    if status in CHANGES:
        await announce_change(redis, tenant_id)
    return RowResult(status=status, id=product_id)


async def read_product(pool: Pool, tenant_id: TenantId, product_id: str) -> Product:
    async with tenant_connection(pool, tenant_id) as conn:
        found = await queries.product(conn, product_id)
    if found is None:
        raise NotFound(f"no product {product_id}")
    return found


async def list_products(
    pool: Pool, tenant_id: TenantId, cursor: str | None, limit: int
) -> ProductList:
    after = position_of(cursor, AfterProduct)
    async with tenant_connection(pool, tenant_id) as conn:
        rows = await queries.products_after(conn, after.product_id if after else "", limit + 1)
    following = next_cursor(rows, limit, lambda row: AfterProduct(row.product_id))
    return ProductList(products=rows[:limit], next_cursor=following)
