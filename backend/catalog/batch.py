"""The rows of a request's body: each read by itself, each with its own result."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from backend.catalog.schemas import LONGEST_ID, BatchAnswer, RowResult, Status
from backend.errors import BadRequest, TooLarge
from backend.explain import Flaw, explain

MOST_ROWS = 500

Sent = TypeVar("Sent", bound=Struct)
Row = TypeVar("Row", bound=Struct)


class Form(Struct, Generic[Sent, Row], frozen=True, kw_only=True):
    """How a route takes rows: {"products": […]}, or one product by itself."""

    member: str
    id_field: str
    decoder: msgspec.json.Decoder[Sent]
    settle: Callable[[Sent, datetime], Row | Flaw]

    def id_of(self, row: Row) -> str:
        return getattr(row, self.id_field)


class Rejected(Struct, frozen=True, kw_only=True):
    id: str | None
    pointer: str
    flaw: Flaw


class Batch(Struct, Generic[Row], frozen=True, kw_only=True):
    """`rows` has one entry per row sent; `latest` has the last of each id, to be written."""

    rows: Sequence[Row | Rejected]
    latest: dict[str, Row]


def read_batch(body: bytes, form: Form[Sent, Row], now: datetime) -> Batch[Row]:
    """Raises BadRequest when the body holds no rows, TooLarge when it holds too many."""
    pieces, place = _pieces(body, form)
    rows = [
        _read(piece, place.format(position), form, now) for position, piece in enumerate(pieces)
    ]
    latest = {form.id_of(row): row for row in rows if not isinstance(row, Rejected)}
    return Batch(rows=rows, latest=latest)


def read_row(body: bytes, form: Form[Sent, Row], now: datetime) -> Row:
    """The one row of a body. Raises BadRequest."""
    refuse_nan(body)
    row = _read(body, "", form, now)
    if isinstance(row, Rejected):
        raise BadRequest(row.flaw.message, pointer=row.pointer)
    return row


def answer_batch(
    batch: Batch[Row], form: Form[Sent, Row], statuses: Mapping[str, Status]
) -> BatchAnswer:
    results = [_result(row, batch, form, statuses) for row in batch.rows]
    rejected = sum(result.status == "rejected" for result in results)
    return BatchAnswer(accepted=len(results) - rejected, rejected=rejected, results=results)


def _result(
    row: Row | Rejected, batch: Batch[Row], form: Form[Sent, Row], statuses: Mapping[str, Status]
) -> RowResult:
    if isinstance(row, Rejected):
        flaw = row.flaw
        return RowResult(
            status="rejected",
            id=row.id,
            code=flaw.code,
            pointer=row.pointer,
            message=flaw.message,
        )
    row_id = form.id_of(row)
    if batch.latest[row_id] is not row:
        return RowResult(status="superseded", id=row_id)
    return RowResult(status=statuses[row_id], id=row_id)


def _pieces(body: bytes, form: Form[Any, Any]) -> tuple[Sequence[bytes | Raw], str]:
    """The JSON of each row, and the pointer to one with a place for its position."""
    refuse_nan(body)
    try:
        members = msgspec.json.decode(body, type=dict[str, Raw])
        if form.member not in members:
            return [body], ""
        rows = msgspec.json.decode(members[form.member], type=list[Raw])
    except (msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(explain(error, "the body").message) from error
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not rows:
        raise BadRequest(f"{form.member} is empty", pointer=f"/{form.member}")
    if len(rows) > MOST_ROWS:
        raise TooLarge(f"send at most {MOST_ROWS} at once", pointer=f"/{form.member}")
    return rows, f"/{form.member}/{{}}"


def _read(piece: bytes | Raw, place: str, form: Form[Sent, Row], now: datetime) -> Row | Rejected:
    try:
        settled = form.settle(form.decoder.decode(piece), now)
    except (msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        settled = explain(error)
    except msgspec.DecodeError as error:
        settled = Flaw(code="malformed", message=f"the row is not JSON: {error}")
    if isinstance(settled, Flaw):
        return Rejected(id=_id_in(piece, form), pointer=f"{place}{settled.pointer}", flaw=settled)
    return settled


def _id_in(piece: bytes | Raw, form: Form[Any, Any]) -> str | None:
    try:
        value = msgspec.json.decode(piece, type=dict[str, Any]).get(form.id_field)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value[:LONGEST_ID] if isinstance(value, str) else None


def refuse_nan(body: bytes) -> None:
    """Some senders write NaN or Infinity, which JSON has not: tell them where it is."""
    if b"NaN" not in body and b"Infinity" not in body:
        return
    try:
        pointer = pointer_to_nan(json.loads(body), "")
    except (ValueError, RecursionError):
        return  # not JSON at all, which is found and said elsewhere
    if pointer is not None:
        field = pointer.rpartition("/")[2] or "the body"
        raise BadRequest(f"{field} must not be NaN or infinite", pointer=pointer)


def pointer_to_nan(value: object, at: str) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else at
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
    elif isinstance(value, list):
        members = enumerate(cast("list[object]", value))
    else:
        return None
    below = (pointer_to_nan(member, f"{at}/{name}") for name, member in members)
    return next((pointer for pointer in below if pointer is not None), None)
