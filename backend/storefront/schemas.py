"""JSON and rows of the demo shop."""

from datetime import datetime

from msgspec import Struct


class ShopperCard(Struct, frozen=True, kw_only=True):
    customer_id: str
    country: str | None
    events: int
    purchases: int
    last_at: datetime


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One thing a shopper did with one product."""

    type: str
    occurred_at: datetime
    quantity: int | None
    product_id: str
    title: str
    image_url: str | None
    price_cents: int | None
    currency: str | None


class History(Struct, frozen=True, kw_only=True):
    """Newest first."""

    entries: list[HistoryEntry]
