"""One row of a file: read it, or say what is wrong with it."""

import json
import math
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Struct

from backend.catalog.batch import pointer_to_nan
from backend.catalog.schemas import LONGEST_ID
from backend.explain import Flaw, explain
from backend.imports.kinds import JSON_COLUMNS, LIST_COLUMNS, RowKind

LONGEST_SHOWN = 60


class UnreadableFile(Exception):
    """The file as a whole cannot be imported; the message says why and what to do."""


class Wrong(Struct, frozen=True, kw_only=True):
    """A row that is rejected, with its id where that could be read."""

    flaw: Flaw
    row_id: str | None = None


class ReadRow(NamedTuple):
    """`number` counts rows of data from 1."""

    number: int
    row: Struct | Wrong


def row_of_values(values: dict[str, Any], kind: RowKind) -> Struct | Wrong:
    """From the cells of one row, empty ones left out. Text that says a number is one."""
    try:
        for column in JSON_COLUMNS.intersection(values):
            values[column] = _object(values[column], column)
        for column in LIST_COLUMNS.intersection(values):
            values[column] = _list(values[column])
        return msgspec.convert(values, kind.row, strict=False)
    except msgspec.ValidationError as error:
        flaw = _shown(kind.explain(error), values)
    except NotAnObject as error:
        message = f"{error} must be a JSON object, such as {{}}"
        flaw = Flaw(code="malformed", field=str(error), message=message)
    return Wrong(flaw=flaw, row_id=_id_or_none(values.get(kind.id_field)))


def row_of_json(line: bytes, kind: RowKind, decoder: msgspec.json.Decoder[Any]) -> Struct | Wrong:
    """From one line of JSON. Raises UnicodeDecodeError."""
    try:
        return decoder.decode(line)
    except msgspec.ValidationError as error:
        flaw = kind.explain(error)
    except RecursionError as error:
        flaw = explain(error)
    except msgspec.DecodeError as error:
        flaw = _nan_flaw(line) or Flaw(code="malformed", message=f"the row is not JSON: {error}")
    return Wrong(flaw=flaw, row_id=_id_in(line, kind))


class NotAnObject(Exception):
    """The name of the column."""


def _object(cell: object, column: str) -> object:
    if isinstance(cell, list):
        return dict(cast("list[tuple[str, Any]]", cell))  # a Parquet map
    if not isinstance(cell, str):
        return cell
    try:
        return msgspec.json.decode(cell, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise NotAnObject(column) from None


def _list(cell: object) -> object:
    return [part.strip() for part in cell.split("|")] if isinstance(cell, str) else cell


def _shown(flaw: Flaw, values: dict[str, Any]) -> Flaw:
    """In a file of text everything is text: what stood there says more."""
    cell = values.get(flaw.field or "")
    if isinstance(cell, float) and not math.isfinite(cell):
        return Flaw(
            code="malformed", field=flaw.field, message=f"{flaw.field} must not be NaN or infinite"
        )
    if flaw.code == "wrong_type" and isinstance(cell, str | int | float):
        expected = flaw.message.rpartition(", not ")[0]
        message = f"{expected}, not {str(cell)[:LONGEST_SHOWN]!r}"
        return Flaw(code=flaw.code, field=flaw.field, message=message)
    return flaw


def _nan_flaw(line: bytes) -> Flaw | None:
    if b"NaN" not in line and b"Infinity" not in line:
        return None
    try:
        pointer = pointer_to_nan(json.loads(line), "")
    except (ValueError, RecursionError):
        return None
    if pointer is None:
        return None
    field = pointer.split("/")[1] if pointer else "the row"
    return Flaw(code="malformed", field=field, message=f"{field} must not be NaN or infinite")


def _id_in(line: bytes, kind: RowKind) -> str | None:
    try:
        return _id_or_none(msgspec.json.decode(line, type=dict[str, Any]).get(kind.id_field))
    except (msgspec.DecodeError, RecursionError):
        return None


def _id_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_ID else None
