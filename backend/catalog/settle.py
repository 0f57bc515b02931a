"""From what a shop sent to what is stored: versions, limits that span fields, defaults."""

from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from backend.catalog.schemas import (
    LARGEST_ATTRIBUTES_BYTES,
    LONGEST_ID,
    CustomerIn,
    ProductIn,
    StockIn,
)
from backend.explain import Flaw

EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
FURTHEST_AHEAD = timedelta(hours=24)


class ProductRow(Struct, frozen=True, kw_only=True):
    """The columns of a product, in the order in which they are copied."""

    product_id: str
    title: str
    description: str | None
    category: str | None
    brand: str | None
    price_cents: int | None
    currency: str | None
    image_url: str | None
    url: str | None
    in_stock: bool | None
    markets: list[str] | None
    published: bool
    attributes: str
    """JSON text of an object."""
    updated_at: datetime


class CustomerRow(Struct, frozen=True, kw_only=True):
    customer_id: str
    country: str | None
    attributes: str


class StockRow(Struct, frozen=True, kw_only=True):
    product_id: str
    in_stock: bool
    as_of: datetime


def settle_product(sent: ProductIn, now: datetime) -> ProductRow | Flaw:
    updated_at = settle_time(sent.updated_at, now, "updated_at")
    if isinstance(updated_at, Flaw):
        return updated_at
    row = ProductRow(
        product_id=sent.product_id,
        title=sent.title,
        description=sent.description,
        category=sent.category,
        brand=sent.brand,
        price_cents=sent.price_cents,
        currency=sent.currency,
        image_url=sent.image_url,
        url=sent.url,
        in_stock=sent.in_stock,
        markets=sent.markets,
        published=sent.published is not False,
        attributes=msgspec.json.encode(sent.attributes or {}).decode(),
        updated_at=updated_at,
    )
    return text_flaw(row, row.attributes) or row


def settle_customer(sent: CustomerIn, _: datetime) -> CustomerRow | Flaw:
    row = CustomerRow(
        customer_id=sent.customer_id,
        country=sent.country,
        attributes=msgspec.json.encode(sent.attributes or {}).decode(),
    )
    return text_flaw(row, row.attributes) or row


def settle_stock(sent: StockIn, now: datetime) -> StockRow | Flaw:
    as_of = settle_time(sent.as_of, now, "as_of")
    if isinstance(as_of, Flaw):
        return as_of
    row = StockRow(product_id=sent.product_id, in_stock=sent.in_stock, as_of=as_of)
    return text_flaw(row, "{}") or row


def settle_time(sent: datetime | None, now: datetime, field: str) -> datetime | Flaw:
    """`now` when absent or a little ahead; a flaw when it cannot be meant."""
    if sent is None:
        return now
    moment = sent.replace(tzinfo=UTC) if sent.tzinfo is None else sent
    if moment < EARLIEST:
        return _flaw("out_of_range", field, "is before 1995")
    if moment > now + FURTHEST_AHEAD:
        return _flaw("out_of_range", field, "is more than 24 hours in the future")
    return min(moment, now)


def id_flaw(row_id: str, field: str) -> Flaw | None:
    """Of an id in a path, which no schema has seen."""
    if len(row_id) > LONGEST_ID:
        return _flaw("too_long", field, f"is longer than {LONGEST_ID} characters")
    return None


def text_flaw(row: Struct, attributes: str) -> Flaw | None:
    """Attributes too large, or the one character PostgreSQL stores nowhere."""
    if len(attributes.encode()) > LARGEST_ATTRIBUTES_BYTES:
        return _flaw("too_long", "attributes", f"is larger than {LARGEST_ATTRIBUTES_BYTES} bytes")
    if "\\u0000" in attributes.replace("\\\\", ""):
        return _flaw("malformed", "attributes", "holds the character U+0000")
    for field in row.__struct_fields__:
        value = getattr(row, field)
        if isinstance(value, str) and "\0" in value:
            return _flaw("malformed", field, "holds the character U+0000")
    return None


def _flaw(code: str, field: str, complaint: str) -> Flaw:
    return Flaw(code=code, message=f"{field} {complaint}", field=field, pointer=f"/{field}")
