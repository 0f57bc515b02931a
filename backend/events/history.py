"""A shopper's history, put together from what the stores hold: decided without reading any."""

import math
from collections.abc import Iterable
from hashlib import blake2b

from msgspec import Struct

from backend.events.queries import TRADE, PastCustomer, PastEvent
from ml.serving.request import strength_at
from ml.serving.traits import traits_of

LONGEST_RECENT = 100
MOST_BOUGHT = 2000
DIGEST_BYTES = 8
EPOCH_S = 1_700_000_000.0


class Interaction(Struct, frozen=True, kw_only=True):
    product_id: str
    type: str
    occurred_at_s: float
    """Unix seconds."""
    quantity: int | None = None


class Bought(Struct, frozen=True, kw_only=True):
    product_id: str
    times: int
    """Purchases less refunds, at least 1."""
    last_s: float
    first_s: float
    strength: float
    """Purchases less refunds as of `last_s`: see `strength_at`."""


class ShopperHistory(Struct, frozen=True, kw_only=True):
    recent: list[Interaction] = []
    """Newest first, at most LONGEST_RECENT; without types that show no choice of the shopper."""
    bought: list[Bought] = []
    """Last bought first, at most MOST_BOUGHT."""
    country: str | None = None
    traits: list[str] = []
    """What the shop tells of the customer: see `ml.serving.traits`."""
    is_complete: bool = True
    """Whether PostgreSQL or its copy could be read."""


class Lately(Struct, frozen=True, array_like=True, gc=False):
    """One entry of what a shopper did."""

    event_id: str
    type: str
    product_id: str
    quantity: int | None
    at_s: float
    """Unix seconds."""


class Tally(Struct, frozen=True, array_like=True):
    """Purchases less refunds of one product; below 1 while a purchase is still on its way."""

    times: int
    last_s: float
    first_s: float
    strength: float
    """As of EPOCH_S, so that tallies add up."""


class StoredHistory(Struct, frozen=True, array_like=True):
    """What PostgreSQL knows about one shopper, kept in Redis for STORED_S."""

    revision: bytes | None
    """Another revision of the shop's events makes it stale."""
    recent: list[Lately]
    tallies: dict[str, Tally]
    counted: bytes
    """Digests of the ids of the purchases and refunds in `tallies`, one after the other."""
    country: str | None = None
    traits: list[str] = []


def summarise(
    events: list[PastEvent], customer: PastCustomer, revision: bytes | None
) -> StoredHistory:
    """`events` holds the newest interactions and all purchases and refunds, newest first."""
    interactions = [
        Lately(e.event_id, e.type, e.product_id, e.quantity, e.occurred_at_s)
        for e in events[:LONGEST_RECENT]
    ]
    tallies: dict[str, Tally] = {}
    counted: list[bytes] = []
    for event in events:
        if event.type in TRADE:
            _count(tallies, event.product_id, event.type, event.occurred_at_s)
            counted.append(_digest(event.event_id))
    return StoredHistory(
        revision,
        interactions,
        tallies,
        b"".join(counted),
        customer.country,
        traits_of(customer.attributes),
    )


def merge(
    stored: list[StoredHistory], lately: list[Lately], *, is_complete: bool
) -> ShopperHistory:
    """Each event id once, as PostgreSQL has it where both have it.

    lately: as it was sent; of an event sent again with another time the first counts.
    """
    interactions = {event.event_id: event for event in reversed(lately)}
    trades = [event for event in interactions.values() if event.type in TRADE]
    tallies: dict[str, Tally] = {}
    for history in stored:
        interactions |= {event.event_id: event for event in history.recent}
        for product_id, tally in history.tallies.items():
            _add(tallies, product_id, tally)
    counted = _digests(stored) if trades else frozenset[bytes]()
    for event in trades:
        if _digest(event.event_id) not in counted:
            _count(tallies, event.product_id, event.type, event.at_s)
    # inside a moment by id, whichever store it came from: training sees the same order
    newest = sorted(interactions.values(), key=lambda event: (-event.at_s, event.event_id))
    return ShopperHistory(
        recent=[
            Interaction(
                product_id=e.product_id, type=e.type, occurred_at_s=e.at_s, quantity=e.quantity
            )
            for e in newest[:LONGEST_RECENT]
        ],
        bought=_bought(tallies),
        country=next((history.country for history in stored if history.country), None),
        traits=next((history.traits for history in stored if history.traits), list[str]()),
        is_complete=is_complete,
    )


def _bought(tallies: dict[str, Tally]) -> list[Bought]:
    kept = [
        Bought(
            product_id=product_id,
            times=tally.times,
            last_s=tally.last_s,
            first_s=tally.first_s,
            strength=max(0.0, tally.strength * strength_at(tally.last_s, EPOCH_S)),
        )
        for product_id, tally in tallies.items()
        if tally.times > 0
    ]
    return sorted(kept, key=lambda bought: -bought.last_s)[:MOST_BOUGHT]


def _count(tallies: dict[str, Tally], product_id: str, event_type: str, at_s: float) -> None:
    strength = strength_at(EPOCH_S, at_s)
    counted = (
        Tally(1, at_s, at_s, strength)
        if event_type == "purchase"
        else Tally(-1, 0.0, math.inf, -strength)
    )
    _add(tallies, product_id, counted)


def _add(tallies: dict[str, Tally], product_id: str, more: Tally) -> None:
    before = tallies.get(product_id)
    tallies[product_id] = (
        more
        if before is None
        else Tally(
            before.times + more.times,
            max(before.last_s, more.last_s),
            min(before.first_s, more.first_s),
            before.strength + more.strength,
        )
    )


def _digest(event_id: str) -> bytes:
    return blake2b(event_id.encode(), digest_size=DIGEST_BYTES).digest()


def _digests(stored: Iterable[StoredHistory]) -> frozenset[bytes]:
    return frozenset(
        history.counted[at : at + DIGEST_BYTES]
        for history in stored
        for at in range(0, len(history.counted), DIGEST_BYTES)
    )
