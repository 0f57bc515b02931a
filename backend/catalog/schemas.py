"""JSON of products, customers and stock; an import's rows have the same fields."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

LONGEST_ID = 200
LARGEST_ATTRIBUTES_BYTES = 16 * 1024
LARGEST_PRICE = 10**13
MOST_MARKETS = 300

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
ProductId = Annotated[Id, Meta(description="The shop's own id", examples=["sku-7"])]
CustomerId = Annotated[Id, Meta(description="The shop's own id", examples=["c-42"])]
Address = Annotated[str, Meta(pattern=r"^https?://[^\s/]\S*$", max_length=2000)]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$")]
Attributes = Annotated[
    dict[str, Any], Meta(description="Anything else, at most 16 kB of JSON", examples=[{"abv": 5}])
]
Version = Annotated[
    datetime,
    Meta(
        description="When the source last changed it: an older one never wins. Absent: now. "
        "ISO 8601, UTC when it names no zone; up to 24 h ahead counts as now",
        examples=["2026-03-01T12:00:00Z"],
    ),
]


class ProductFields(Struct, frozen=True, kw_only=True):
    """What a shop says about a product; what is absent is unknown."""

    title: Annotated[str, Meta(min_length=1, max_length=1000, examples=["Pale Ale, 12 oz"])]
    description: Annotated[str, Meta(max_length=20_000)] | None = None
    category: (
        Annotated[str, Meta(max_length=500, description="From wide to narrow: `Drinks > Beer`")]
        | None
    ) = None
    brand: Annotated[str, Meta(max_length=200)] | None = None
    price_cents: (
        Annotated[int, Meta(ge=0, le=LARGEST_PRICE, description="Minor units of the currency")]
        | None
    ) = None
    currency: (
        Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217", examples=["EUR"])] | None
    ) = None
    image_url: Address | None = None
    url: Address | None = None
    in_stock: Annotated[bool | None, Meta(description="Absent: as it was, at first in stock")] = (
        None
    )
    markets: (
        Annotated[
            list[Country],
            Meta(
                min_length=1,
                max_length=MOST_MARKETS,
                description="ISO 3166 countries it is sold in; absent: everywhere",
            ),
        ]
        | None
    ) = None
    published: Annotated[bool | None, Meta(description="Absent: true")] = None
    attributes: Attributes | None = None
    updated_at: Version | None = None


class ProductIn(ProductFields, frozen=True, kw_only=True):
    product_id: ProductId


class Product(Struct, frozen=True, kw_only=True):
    """A product as it is kept."""

    product_id: str
    title: str
    description: str | None
    category: str | None
    brand: str | None
    price_cents: int | None
    currency: str | None
    image_url: str | None
    url: str | None
    in_stock: bool
    stock_as_of: datetime | None
    markets: list[str] | None
    published: bool
    attributes: dict[str, Any]
    updated_at: datetime
    created_at: datetime


class ProductList(Struct, frozen=True, kw_only=True):
    """Ordered by id."""

    products: list[Product]
    next_cursor: Annotated[str | None, Meta(description="null: this is the last page")]


class CustomerFields(Struct, frozen=True, kw_only=True):
    country: Annotated[Country | None, Meta(description="ISO 3166", examples=["DE"])] = None
    attributes: Attributes | None = None


class CustomerIn(CustomerFields, frozen=True, kw_only=True):
    customer_id: CustomerId


class Customer(Struct, frozen=True, kw_only=True):
    customer_id: str
    country: str | None
    attributes: dict[str, Any]
    created_at: datetime


class CustomerList(Struct, frozen=True, kw_only=True):
    """Ordered by id."""

    customers: list[Customer]
    next_cursor: Annotated[str | None, Meta(description="null: this is the last page")]


class StockIn(Struct, frozen=True, kw_only=True):
    """Whether a product is in stock, as counted at `as_of`."""

    product_id: ProductId
    in_stock: bool
    as_of: Annotated[
        datetime | None, Meta(description="When it was counted; an older one never wins")
    ] = None


Status = Literal[
    "created", "updated", "unchanged", "stale", "superseded", "deleted", "unknown", "rejected"
]


class RowResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one row, in the order they were sent."""

    status: Annotated[
        Status,
        Meta(
            description="`stale`: something newer is kept. `superseded`: a later row of the batch "
            "has the same id. `unknown`: there is no such product. `rejected`: see `message`"
        ),
    ]
    id: Annotated[str | None, Meta(description="Absent when it could not be read")] = None
    code: Annotated[str | None, Meta(examples=["wrong_type"])] = None
    pointer: Annotated[
        str | None,
        Meta(description="JSON pointer into the request", examples=["/products/3/title"]),
    ] = None
    message: Annotated[str | None, Meta(description="What is wrong, in words")] = None


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """Every row has its own result; a rejected row keeps no other from being written."""

    accepted: int
    rejected: int
    results: list[RowResult]
