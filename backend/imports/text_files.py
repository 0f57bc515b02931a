"""Rows of CSV and JSON Lines files, in memory one line at a time."""

import csv
from collections.abc import Generator, Iterator, Sequence
from typing import BinaryIO

import msgspec

from backend.explain import Flaw
from backend.imports.kinds import RowKind
from backend.imports.rows import ReadRow, UnreadableFile, Wrong, row_of_json, row_of_values

LONGEST_LINE = 1024 * 1024
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
NOT_UTF8 = "the file is not UTF-8 in row {}: save it as UTF-8"
TOO_LONG = Wrong(flaw=Flaw(code="too_long", message="the row is longer than 1 MB"))
LOOKED_AT_FOR_COLUMNS = 100


class LineTooLong(Exception):
    """The line was skipped."""


def text_lines(file: BinaryIO) -> Iterator[str]:
    """Raises UnicodeDecodeError or LineTooLong, and goes on when asked again."""
    return _TextLines(_Lines(file))


class _Lines(Iterator[bytes]):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._is_first = True

    def __next__(self) -> bytes:
        line = self._file.readline(LONGEST_LINE + 1)
        if not line:
            raise StopIteration
        if self._is_first:
            self._is_first = False
            if line.startswith(WIDE_MARKS):
                raise UnreadableFile("the file is UTF-16: save it as UTF-8")
            line = line.removeprefix(BYTE_ORDER_MARK)
        if len(line) > LONGEST_LINE:
            while not line.endswith(b"\n") and line:
                line = self._file.readline(LONGEST_LINE)
            raise LineTooLong
        return line


class _TextLines(Iterator[str]):
    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source

    def __next__(self) -> str:
        return next(self._source).decode()


def json_rows(file: BinaryIO, kind: RowKind, warnings: list[str]) -> Generator[ReadRow]:
    """Raises UnreadableFile."""
    decoder = msgspec.json.Decoder(kind.row)
    source = _Lines(file)
    unknown: set[str] = set()
    number = 0
    while True:
        try:
            line = next(source).strip()
        except StopIteration:
            return
        except LineTooLong:
            number += 1
            yield ReadRow(number, TOO_LONG)
            continue
        if not line:
            continue
        number += 1
        try:
            row = row_of_json(line, kind, decoder)
        except UnicodeDecodeError as error:
            raise UnreadableFile(NOT_UTF8.format(number)) from error
        if number <= LOOKED_AT_FOR_COLUMNS:
            fresh = _members(line).difference(kind.columns, unknown)
            warnings.extend(unknown_columns(fresh))
            unknown |= fresh
        yield ReadRow(number, row)


def csv_rows(file: BinaryIO, kind: RowKind, warnings: list[str]) -> Generator[ReadRow]:
    """Raises UnreadableFile."""
    reader = csv.reader(text_lines(file), strict=True)
    header = _header(reader, kind)
    warnings.extend(unknown_columns(set(header).difference(kind.columns)))
    known = [(place, name) for place, name in enumerate(header) if name in kind.columns]
    for number, cells in enumerate(_cells(reader), 1):
        if isinstance(cells, Wrong):
            yield ReadRow(number, cells)
        elif len(cells) != len(header):
            message = f"the row has {len(cells)} fields, the header has {len(header)}"
            yield ReadRow(number, Wrong(flaw=Flaw(code="malformed", message=message)))
        else:
            values = {name: cells[place] for place, name in known if cells[place]}
            yield ReadRow(number, row_of_values(values, kind))


def _header(reader: Iterator[list[str]], kind: RowKind) -> list[str]:
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        raise UnreadableFile("the file is empty") from None
    except UnicodeDecodeError:
        raise UnreadableFile("the file is not UTF-8 in its first line: save it as UTF-8") from None
    except LineTooLong:
        raise UnreadableFile("the first line is longer than 1 MB: is this a CSV file?") from None
    except csv.Error as error:
        raise UnreadableFile(f"the first line cannot be read: {error}") from error
    for separator, name in SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            raise UnreadableFile(f"the columns are separated by {name}: separate them by commas")
    if len(set(header)) != len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise UnreadableFile(f"the header names {', '.join(twice)} more than once")
    require_columns(header, kind)
    return header


def _cells(reader: Iterator[list[str]]) -> Generator[list[str] | Wrong]:
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except LineTooLong:
            cells = TOO_LONG
        except UnicodeDecodeError:
            raise UnreadableFile(NOT_UTF8.format(number + 1)) from None
        except csv.Error as error:
            flaw = Flaw(code="malformed", message=f"the row cannot be read: {error}")
            cells = Wrong(flaw=flaw)
        if cells:
            number += 1
            yield cells


def _members(line: bytes) -> set[str]:
    try:
        return set(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return set()


def require_columns(names: Sequence[str], kind: RowKind) -> None:
    missing = [name for name in kind.required if name not in names]
    if missing:
        columns = "column" if len(missing) == 1 else "columns"
        raise UnreadableFile(f"the {columns} {', '.join(missing)} must be in the file")


def unknown_columns(names: set[str]) -> list[str]:
    return [f"the column {name[:60]!r} is not known and was ignored" for name in sorted(names)]
