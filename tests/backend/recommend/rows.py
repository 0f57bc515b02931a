"""Rows of the live catalogue, as PostgreSQL gives them."""

from datetime import UTC, datetime
from typing import Any

from backend.recommend.live_catalog import LiveCatalog
from backend.recommend.queries import ProductRow


def row(product_id: str, **fields: object) -> ProductRow:
    """On sale everywhere and without a description, but for what is said otherwise."""
    usual: dict[str, Any] = {
        "revision": 1,
        "title": product_id,
        "url": None,
        "image_url": None,
        "price_cents": None,
        "currency": None,
        "category": None,
        "brand": None,
        "markets": None,
        "sellable": True,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return ProductRow(product_id=product_id, **{**usual, **fields})


def catalog_of(*rows: ProductRow) -> LiveCatalog:
    catalog = LiveCatalog()
    catalog.apply([*rows])
    return catalog
