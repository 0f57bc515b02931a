"""JSON of imports."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

Kind = Literal["products", "customers", "events"]
Mode = Literal["incremental", "full"]
Format = Literal["parquet", "csv", "jsonl"]
State = Literal["queued", "running", "succeeded", "failed"]


class ImportRun(Struct, frozen=True, kw_only=True):
    """One file on its way in. Nothing of it is kept unless it succeeds."""

    import_id: str
    kind: Kind
    mode: Mode
    format: Format
    dry_run: bool
    allow_removal: bool
    state: State
    progress: Annotated[float, Meta(ge=0, le=1)]
    bytes_total: int
    rows_read: int
    rows_accepted: int
    rows_written: Annotated[int, Meta(description="Accepted rows that brought something new")]
    rows_rejected: Annotated[int, Meta(description="See `/errors`")]
    rows_removed: Annotated[int, Meta(description="Products taken out by a full import")]
    warnings: Annotated[list[str], Meta(description="Columns that are not known, and the like")]
    reason: Annotated[str | None, Meta(description="Why it failed")]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ImportList(Struct, frozen=True, kw_only=True):
    """Newest first."""

    imports: list[ImportRun]
    next_cursor: Annotated[str | None, Meta(description="null: this is the last page")]


class RowError(Struct, frozen=True, kw_only=True):
    """Why one row was rejected."""

    row_number: Annotated[int, Meta(description="The first row of data is 1")]
    field: Annotated[str | None, Meta(description="null: the row as a whole")]
    code: Annotated[str, Meta(examples=["wrong_type"])]
    message: str


class ImportErrors(Struct, frozen=True, kw_only=True):
    """The first 1,000 rejected rows, in the order of the file."""

    errors: list[RowError]
    next_cursor: Annotated[str | None, Meta(description="null: this is the last page")]


class Counts(Struct, frozen=True, kw_only=True):
    """How far an import has come."""

    read: int = 0
    accepted: int = 0
    written: int = 0
    rejected: int = 0
    removed: int = 0
