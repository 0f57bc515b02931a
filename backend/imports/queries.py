"""SQL of imports and of the rows they rejected."""

from collections.abc import Sequence

from msgspec import Struct

from backend.db import Connection, row_to, rows_to
from backend.imports.schemas import Counts, Format, ImportRun, Kind, Mode, RowError

COLUMNS = """
    import_id, kind, mode, format, dry_run, allow_removal, state, progress, bytes_total, rows_read,
    rows_accepted, rows_written, rows_rejected, rows_removed, warnings, reason, created_at,
    started_at, finished_at
"""


class NewImport(Struct, frozen=True, kw_only=True):
    import_id: str
    kind: Kind
    mode: Mode
    format: Format
    dry_run: bool
    allow_removal: bool
    bytes_total: int


class PlacedError(Struct, frozen=True, kw_only=True):
    position: int
    row_number: int
    field: str | None
    code: str
    message: str


async def insert_import(conn: Connection, new: NewImport) -> ImportRun | None:
    record = await conn.fetchrow(
        f"""
        INSERT INTO import_run (
            import_id, kind, mode, format, dry_run, allow_removal, bytes_total
        ) VALUES ($1, $2, $3, $4, $5, $6, $7)
        RETURNING {COLUMNS}
        """,  # noqa: S608 - a constant
        new.import_id,
        new.kind,
        new.mode,
        new.format,
        new.dry_run,
        new.allow_removal,
        new.bytes_total,
    )
    return row_to(ImportRun, record)


async def import_run(conn: Connection, import_id: str) -> ImportRun | None:
    record = await conn.fetchrow(
        f"SELECT {COLUMNS} FROM import_run WHERE import_id = $1",  # noqa: S608 - a constant
        import_id,
    )
    return row_to(ImportRun, record)


async def imports_before(conn: Connection, before: str | None, limit: int) -> list[ImportRun]:
    """Newest first: ids grow with time."""
    records = await conn.fetch(
        f"""
        SELECT {COLUMNS} FROM import_run WHERE $1::text IS NULL OR import_id < $1
        ORDER BY import_id DESC LIMIT $2
        """,  # noqa: S608 - a constant
        before,
        limit,
    )
    return rows_to(ImportRun, records)


async def errors_after(
    conn: Connection, import_id: str, after: int, limit: int
) -> list[PlacedError]:
    records = await conn.fetch(
        """
        SELECT position, row_number, field, code, message FROM import_error
        WHERE import_id = $1 AND position > $2 ORDER BY position LIMIT $3
        """,
        import_id,
        after,
        limit,
    )
    return rows_to(PlacedError, records)


async def wait_for_turn(conn: Connection, import_id: str) -> None:
    """Until this transaction ends nobody else works on the import."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", import_id)


async def unattended(conn: Connection, older_than_s: float) -> list[str]:
    """Unfinished imports that nobody is working on."""
    records = await conn.fetch(
        """
        SELECT import_id FROM import_run
        WHERE state IN ('queued', 'running')
          AND created_at < now() - make_interval(secs => $1)
          AND pg_try_advisory_xact_lock(hashtextextended(import_id, 0))
        """,
        older_than_s,
    )
    return [record["import_id"] for record in records]


async def begin(conn: Connection, import_id: str) -> ImportRun | None:
    """Start, or start over. None when the import has ended."""
    record = await conn.fetchrow(
        f"""
        UPDATE import_run
        SET state = 'running', started_at = clock_timestamp(), progress = 0, warnings = '{{}}',
            rows_read = 0, rows_accepted = 0, rows_written = 0, rows_rejected = 0, rows_removed = 0
        WHERE import_id = $1 AND state IN ('queued', 'running')
        RETURNING {COLUMNS}
        """,  # noqa: S608 - a constant
        import_id,
    )
    if record is not None:
        await conn.execute("DELETE FROM import_error WHERE import_id = $1", import_id)
    return row_to(ImportRun, record)


async def note_progress(
    conn: Connection, import_id: str, progress: float, counts: Counts, warnings: Sequence[str]
) -> None:
    await conn.execute(
        """
        UPDATE import_run
        SET progress = $2, rows_read = $3, rows_accepted = $4, rows_written = $5,
            rows_rejected = $6, rows_removed = $7, warnings = $8
        WHERE import_id = $1
        """,
        import_id,
        progress,
        counts.read,
        counts.accepted,
        counts.written,
        counts.rejected,
        counts.removed,
        warnings,
    )


async def insert_errors(
    conn: Connection, import_id: str, first_position: int, errors: Sequence[RowError]
) -> None:
    await conn.executemany(
        """
        INSERT INTO import_error (import_id, position, row_number, field, code, message)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        [
            (import_id, position, error.row_number, error.field, error.code, error.message)
            for position, error in enumerate(errors, first_position)
        ],
    )


async def finish(conn: Connection, import_id: str, state: str, reason: str | None) -> None:
    await conn.execute(
        """
        UPDATE import_run SET state = $2, reason = $3, finished_at = clock_timestamp(),
               progress = CASE $2 WHEN 'succeeded' THEN 1 ELSE progress END
        WHERE import_id = $1
        """,
        import_id,
        state,
        reason,
    )
