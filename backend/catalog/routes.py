"""HTTP of products, stock and customers."""

from datetime import datetime
from typing import Annotated

from litestar import Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from backend.auth.caller import Caller, requires
from backend.cache import Redis
from backend.catalog import customers, products
from backend.catalog.operations import (
    CustomerOperation,
    CustomersOperation,
    ProductOperation,
    ProductsOperation,
    StockOperation,
)
from backend.catalog.schemas import (
    BatchAnswer,
    Customer,
    CustomerList,
    Product,
    ProductList,
    RowResult,
)
from backend.db import Pool
from backend.errors import AnyRequest

Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before")]
PageSize = Annotated[int, QueryParameter(ge=1, le=500)]
catalog_key = [requires("catalog")]


@post("/products", status_code=200, guards=catalog_key, operation_class=ProductsOperation)
async def write_products(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    redis: NamedDependency[Redis],
) -> BatchAnswer:
    """Create or replace up to 500 products. Each gets its own result; sending again is safe."""
    return await products.write_products(pool, redis, caller.tenant_id, await request.body())


@get("/products", guards=catalog_key)
async def list_products(
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    cursor: Cursor = None,
    limit: PageSize = 100,
) -> ProductList:
    """List products page by page, ordered by id."""
    return await products.list_products(pool, caller.tenant_id, cursor, limit)


@get("/products/{product_id:str}", guards=catalog_key)
async def read_product(
    product_id: FromPath[str], caller: NamedDependency[Caller], pool: NamedDependency[Pool]
) -> Product:
    """Read one product as it is kept."""
    return await products.read_product(pool, caller.tenant_id, product_id)


@put("/products/{product_id:str}", guards=catalog_key, operation_class=ProductOperation)
async def put_product(
    product_id: FromPath[str],
    request: AnyRequest,
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    redis: NamedDependency[Redis],
) -> RowResult:
    """Create or replace one product."""
    body = await request.body()
    return await products.put_product(pool, redis, caller.tenant_id, product_id, body)


@delete("/products/{product_id:str}", guards=catalog_key, status_code=200)
async def delete_product(
    product_id: FromPath[str],
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    redis: NamedDependency[Redis],
    updated_at: Annotated[
        datetime | None, QueryParameter(description="Version of the deletion; absent: now")
    ] = None,
) -> RowResult:
    """Take a product out of the shop, unless something newer than `updated_at` is kept."""
    return await products.delete_product(pool, redis, caller.tenant_id, product_id, updated_at)


@post("/inventory", status_code=200, guards=catalog_key, operation_class=StockOperation)
async def write_stock(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    redis: NamedDependency[Redis],
) -> BatchAnswer:
    """Say of up to 500 products whether they are in stock. An older `as_of` never wins."""
    return await products.write_stock(pool, redis, caller.tenant_id, await request.body())


@post("/customers", status_code=200, guards=catalog_key, operation_class=CustomersOperation)
async def write_customers(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    redis: NamedDependency[Redis],
) -> BatchAnswer:
    """Create or replace up to 500 customers. Each gets its own result; sending again is safe."""
    return await customers.write_customers(pool, redis, caller.tenant_id, await request.body())


@get("/customers", guards=catalog_key)
async def list_customers(
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    cursor: Cursor = None,
    limit: PageSize = 100,
) -> CustomerList:
    """List customers page by page, ordered by id."""
    return await customers.list_customers(pool, caller.tenant_id, cursor, limit)


@get("/customers/{customer_id:str}", guards=catalog_key)
async def read_customer(
    customer_id: FromPath[str], caller: NamedDependency[Caller], pool: NamedDependency[Pool]
) -> Customer:
    """Read one customer as kept."""
    return await customers.read_customer(pool, caller.tenant_id, customer_id)


@put("/customers/{customer_id:str}", guards=catalog_key, operation_class=CustomerOperation)
async def put_customer(
    customer_id: FromPath[str],
    request: AnyRequest,
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    redis: NamedDependency[Redis],
) -> RowResult:
    """Create or replace one customer."""
    body = await request.body()
    return await customers.put_customer(pool, redis, caller.tenant_id, customer_id, body)


@delete("/customers/{customer_id:str}", guards=catalog_key, status_code=200)
async def delete_customer(
    customer_id: FromPath[str],
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    redis: NamedDependency[Redis],
) -> RowResult:
    """Forget what the shop said about a customer; events stay."""
    return await customers.delete_customer(pool, redis, caller.tenant_id, customer_id)


router = Router(
    "/v1",
    route_handlers=[
        write_products,
        list_products,
        read_product,
        put_product,
        delete_product,
        write_stock,
        write_customers,
        list_customers,
        read_customer,
        put_customer,
        delete_customer,
    ],
    tags=["Catalogue"],
)
