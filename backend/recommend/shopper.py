"""Who asks: what the shopper did before, from events and from the call itself."""

import logging

import msgspec
from msgspec import Struct

from backend.cache import Redis
from backend.db import Pool
from backend.events.recent import shopper_history
from backend.recommend.schemas import Asker, RecentInteraction
from backend.tenancy import TenantId
from ml.serving.request import Interaction, Purchase, strength_at

logger = logging.getLogger(__name__)


class Shopper(Struct, frozen=True, kw_only=True):
    recent: list[Interaction] = []
    """Newest first."""
    bought: list[Purchase] = []
    country: str | None = None
    traits: list[str] = []
    is_complete: bool = True
    """Whether all that is known about the shopper could be read."""


async def read_shopper(redis: Redis, pool: Pool, tenant_id: TenantId, asker: Asker) -> Shopper:
    """What is stored about the shopper; whatever of it can be read."""
    if asker.customer_id is None and asker.session_id is None:
        return Shopper()
    try:
        history = await shopper_history(redis, pool, tenant_id, asker.customer_id, asker.session_id)
    except msgspec.DecodeError as error:
        # Another version of the product wrote it: an answer with less is better than none.
        logger.warning("a shopper's stored behaviour cannot be read: %s", error)
        return Shopper(is_complete=False)
    return Shopper(
        recent=[
            Interaction(product_id=i.product_id, kind=i.type, occurred_at_s=i.occurred_at_s)
            for i in history.recent
        ],
        bought=[
            Purchase(
                product_id=b.product_id,
                times=b.times,
                last_s=b.last_s,
                first_s=b.first_s,
                strength=b.strength,
            )
            for b in history.bought
        ],
        country=history.country,
        traits=history.traits,
        is_complete=history.is_complete,
    )


def with_recent(shopper: Shopper, told: list[RecentInteraction], now_s: float) -> Shopper:
    """The shopper with what the call tells on top; what lacks a time happened just now."""
    if not told:
        return shopper
    added = [
        Interaction(
            product_id=interaction.product_id,
            kind=interaction.kind,
            occurred_at_s=min(now_s, interaction.occurred_at_s or now_s),
        )
        for interaction in told
    ]
    recent = sorted([*added, *shopper.recent], key=lambda i: -i.occurred_at_s)
    return msgspec.structs.replace(
        shopper,
        recent=recent,
        bought=merged_purchases(shopper.bought, [i for i in added if i.kind == "purchase"]),
    )


def merged_purchases(bought: list[Purchase], added: list[Interaction]) -> list[Purchase]:
    """One entry per product, the last bought first."""
    merged = {purchase.product_id: purchase for purchase in bought}
    for interaction in added:
        merged[interaction.product_id] = once_more(merged.get(interaction.product_id), interaction)
    return sorted(merged.values(), key=lambda purchase: -purchase.last_s)


def once_more(before: Purchase | None, interaction: Interaction) -> Purchase:
    at_s = interaction.occurred_at_s
    if before is None:
        return Purchase(
            product_id=interaction.product_id, times=1, last_s=at_s, first_s=at_s, strength=1.0
        )
    last_s = max(at_s, before.last_s)
    return Purchase(
        product_id=before.product_id,
        times=before.times + 1,
        last_s=last_s,
        first_s=min(at_s, before.first_s),
        strength=before.strength * strength_at(last_s, before.last_s) + strength_at(last_s, at_s),
    )
