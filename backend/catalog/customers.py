"""Write, read and delete customers."""

from datetime import UTC, datetime

import msgspec

from backend.cache import Redis
from backend.catalog import customer_queries as queries
from backend.catalog.batch import Form, answer_batch, read_batch, read_row
from backend.catalog.schemas import (
    BatchAnswer,
    Customer,
    CustomerFields,
    CustomerIn,
    CustomerList,
    RowResult,
)
from backend.catalog.settle import CustomerRow, id_flaw, settle_customer
from backend.cursor import next_cursor, position_of
from backend.db import Pool
from backend.errors import NotFound
from backend.events.recent import forget_histories
from backend.explain import Flaw
from backend.tenancy import TenantId, tenant_connection

CUSTOMERS: Form[CustomerIn, CustomerRow] = Form(
    member="customers",
    id_field="customer_id",
    decoder=msgspec.json.Decoder(CustomerIn),
    settle=settle_customer,
)


class AfterCustomer(msgspec.Struct, frozen=True, array_like=True):
    customer_id: str


async def write_customers(
    pool: Pool, redis: Redis, tenant_id: TenantId, body: bytes
) -> BatchAnswer:
    """Raises BadRequest or TooLarge; a wrong row is only rejected."""
    batch = read_batch(body, CUSTOMERS, datetime.now(UTC))
    async with tenant_connection(pool, tenant_id) as conn:
        statuses = await queries.upsert_customers(conn, list(batch.latest.values()))
    await forget_histories(redis, tenant_id, statuses)
    return answer_batch(batch, CUSTOMERS, statuses)


async def put_customer(
    pool: Pool, redis: Redis, tenant_id: TenantId, customer_id: str, body: bytes
) -> RowResult:
    def settle(sent: CustomerFields, now: datetime) -> CustomerRow | Flaw:
        named = CustomerIn(
            customer_id=customer_id, country=sent.country, attributes=sent.attributes
        )
        return id_flaw(customer_id, "customer_id") or settle_customer(named, now)

    form: Form[CustomerFields, CustomerRow] = Form(
        member="",
        id_field="customer_id",
        decoder=msgspec.json.Decoder(CustomerFields),
        settle=settle,
    )
    row = read_row(body, form, datetime.now(UTC))
    async with tenant_connection(pool, tenant_id) as conn:
        statuses = await queries.upsert_customers(conn, [row])
    await forget_histories(redis, tenant_id, [customer_id])
    return RowResult(status=statuses[customer_id], id=customer_id)


async def read_customer(pool: Pool, tenant_id: TenantId, customer_id: str) -> Customer:
    async with tenant_connection(pool, tenant_id) as conn:
        found = await queries.customer(conn, customer_id)
    if found is None:
        raise NotFound(f"no customer {customer_id}")
    return found


async def list_customers(
    pool: Pool, tenant_id: TenantId, cursor: str | None, limit: int
) -> CustomerList:
    after = position_of(cursor, AfterCustomer)
    async with tenant_connection(pool, tenant_id) as conn:
        rows = await queries.customers_after(conn, after.customer_id if after else "", limit + 1)
    following = next_cursor(rows, limit, lambda row: AfterCustomer(row.customer_id))
    return CustomerList(customers=rows[:limit], next_cursor=following)


async def delete_customer(
    pool: Pool, redis: Redis, tenant_id: TenantId, customer_id: str
) -> RowResult:
    """Raises NotFound for a customer who is not there."""
    async with tenant_connection(pool, tenant_id) as conn:
        if not await queries.delete_customer(conn, customer_id):
            raise NotFound(f"no customer {customer_id}")
    await forget_histories(redis, tenant_id, [customer_id])
    return RowResult(status="deleted", id=customer_id)
