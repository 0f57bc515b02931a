"""What an import's rows are: their fields, and how each becomes something to store."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from backend.catalog.schemas import CustomerIn, ProductIn
from backend.catalog.settle import settle_customer, settle_product
from backend.events.explain import explain_event
from backend.events.judge import settle as settle_event
from backend.events.parse import Unread
from backend.events.schemas import EventIn, EventRow
from backend.explain import Flaw, explain
from backend.imports.schemas import Kind

JSON_COLUMNS = frozenset({"attributes", "context"})
"""Objects; JSON text in formats without objects."""
LIST_COLUMNS = frozenset({"markets"})
"""Lists; `DE|FR` in formats without lists."""


class RowKind(Struct, frozen=True, kw_only=True):
    row: type[Struct]
    id_field: str
    required: tuple[str, ...]
    settle: Callable[[Any, datetime], Struct | Flaw]
    explain: Callable[[msgspec.ValidationError], Flaw]

    @property
    def columns(self) -> tuple[str, ...]:
        """The id first, then as in the API reference."""
        names = self.row.__struct_fields__
        return (self.id_field, *(name for name in names if name != self.id_field))


def _settle_event(event: EventIn, now: datetime) -> EventRow | Flaw:
    settled = settle_event(event, now, may_hold_nul=True)
    return settled.flaw if isinstance(settled, Unread) else settled


KINDS: dict[Kind, RowKind] = {
    "products": RowKind(
        row=ProductIn,
        id_field="product_id",
        required=("product_id", "title"),
        settle=settle_product,
        explain=explain,
    ),
    "customers": RowKind(
        row=CustomerIn,
        id_field="customer_id",
        required=("customer_id",),
        settle=settle_customer,
        explain=explain,
    ),
    "events": RowKind(
        row=EventIn,
        id_field="event_id",
        required=("event_id", "type", "occurred_at"),
        settle=_settle_event,
        explain=explain_event,
    ),
}
