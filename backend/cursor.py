"""Opaque cursors of lists: where the next page begins, as text only we need to understand."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Struct

from backend.errors import BadRequest

Position = TypeVar("Position", bound=Struct)
Row = TypeVar("Row")


def next_cursor(rows: list[Row], page: int, position: Callable[[Row], Struct]) -> str | None:
    """`rows` were read with one more than a page, to see whether another page follows."""
    if len(rows) <= page:
        return None
    return urlsafe_b64encode(msgspec.json.encode(position(rows[page - 1]))).decode().rstrip("=")


def position_of(cursor: str | None, kind: type[Position]) -> Position | None:
    """None without a cursor. Raises BadRequest for one that we did not make."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(urlsafe_b64decode(padded), type=kind)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("the cursor is not one from `next_cursor`") from error
