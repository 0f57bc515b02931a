"""A file as chunks of rows that are settled: ready to be stored, or rejected with the reason."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from backend.explain import Flaw, explain
from backend.imports.kinds import KINDS, RowKind
from backend.imports.parquet_files import open_parquet, parquet_rows
from backend.imports.rows import ReadRow, UnreadableFile, Wrong
from backend.imports.schemas import ImportRun, RowError
from backend.imports.text_files import csv_rows, json_rows

ROWS_PER_CHUNK = 10_000


class Chunk(Struct, frozen=True, kw_only=True):
    """`progress` is the share of the file that was read so far."""

    rows: list[Struct]
    errors: list[RowError]
    rejected_ids: list[str]
    progress: float


class OpenFile(Struct, kw_only=True):
    """`warnings` grow while the rows are read."""

    rows: Iterator[ReadRow]
    kind: RowKind
    now: datetime
    total: int
    binary: BinaryIO | None
    warnings: list[str]
    rows_read: int = 0

    def next_chunk(self) -> Chunk | None:
        """None at the end. Raises UnreadableFile."""
        rows: list[Struct] = []
        errors: list[RowError] = []
        rejected_ids: list[str] = []
        for number, read in islice(self.rows, ROWS_PER_CHUNK):
            self.rows_read = number
            settled = read if isinstance(read, Wrong) else self._settle(read)
            if not isinstance(settled, Wrong):
                rows.append(settled)
                continue
            errors.append(_error(number, settled.flaw))
            if settled.row_id is not None:
                rejected_ids.append(settled.row_id)
        if not rows and not errors:
            return None
        return Chunk(rows=rows, errors=errors, rejected_ids=rejected_ids, progress=self._progress())

    def _settle(self, read: Struct) -> Struct | Wrong:
        try:
            settled = self.kind.settle(read, self.now)
        except RecursionError as error:
            settled = explain(error)
        if isinstance(settled, Flaw):
            return Wrong(flaw=settled, row_id=getattr(read, self.kind.id_field))
        return settled

    def _progress(self) -> float:
        done = self.binary.tell() if self.binary else self.rows_read
        return min(1.0, done / max(1, self.total))


@contextmanager
def open_file(path: Path, run: ImportRun) -> Generator[OpenFile]:
    """Raises UnreadableFile."""
    kind = KINDS[run.kind]
    warnings: list[str] = []
    if path.stat().st_size == 0:
        raise UnreadableFile("the file is empty")
    if run.format == "parquet":
        with open_parquet(path, kind) as parquet:
            yield OpenFile(
                rows=parquet_rows(parquet, kind, warnings),
                kind=kind,
                now=run.created_at,
                total=parquet.metadata.num_rows,
                binary=None,
                warnings=warnings,
            )
        return
    read = csv_rows if run.format == "csv" else json_rows
    with path.open("rb") as binary:
        yield OpenFile(
            rows=read(binary, kind, warnings),
            kind=kind,
            now=run.created_at,
            total=run.bytes_total,
            binary=binary,
            warnings=warnings,
        )


def _error(number: int, flaw: Flaw) -> RowError:
    return RowError(row_number=number, field=flaw.field, code=flaw.code, message=flaw.message)
