"""What a shop does before it asks, and asking."""

import secrets
from datetime import UTC, datetime
from typing import Any

from backend.db import Pool
from backend.tenancy import tenant_connection
from tests.conftest import Shop
from tests.ml.small_release import PRODUCTS

LATER = ["later1", "later2"]
"""Products that came after the release."""


async def sells_everything(shop: Shop) -> None:
    """All products of the small release, and the later ones."""
    await shop.has_products(*({"product_id": name} for name in [*PRODUCTS, *LATER]))


async def sends(shop: Shop, kind: str, product_id: str, **shopper: str) -> None:
    event: dict[str, Any] = {
        "event_id": secrets.token_hex(8),
        "type": kind,
        "product_id": product_id,
        "occurred_at": datetime.now(UTC).isoformat(),
        **shopper,
    }
    answer = await shop.post("/v1/events", {"events": [event]})
    assert answer.status_code == 202, answer.text


async def bought(pool: Pool, shop: Shop, customer_id: str, product_id: str, *days: int) -> None:
    """days: how many ago, of each purchase. PostgreSQL knows them at once."""
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.executemany(
            """
            INSERT INTO event (tenant_id, event_id, type, customer_id, product_id, occurred_at)
            VALUES (current_setting('app.tenant_id')::uuid, gen_random_uuid()::text, 'purchase',
                    $1, $2, now() - $3 * interval '1 day')
            """,
            [(customer_id, product_id, ago) for ago in days],
        )


async def asks(shop: Shop, **request: object) -> dict[str, Any]:
    answer = await shop.post("/v1/recommendations", {"placement": "for-you", **request})
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(answer: dict[str, Any]) -> list[str]:
    return [item["product_id"] for item in answer["items"]]
