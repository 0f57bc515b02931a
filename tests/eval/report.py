"""`build/eval/report.json`: what was measured, kept from run to run, section by section."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

Row = TypeVar("Row", bound=Struct)
IDENTITY = ("dataset", "model")
"""A new row takes the place of the kept ones that agree with it in these fields."""


class Section(Struct, frozen=True, kw_only=True):
    command: str
    """What prints these rows again."""
    rows: list[Raw]


class Report(Struct, frozen=True, kw_only=True):
    sections: dict[str, Section] = {}
    """By name of the evaluation."""

    def rows(self, name: str, row: type[Row]) -> list[Row]:
        """Empty where it has not run; rows an older version wrote in another form are left out."""
        section = self.sections.get(name)
        found: list[Row] = []
        for raw in section.rows if section else ():
            try:
                found.append(msgspec.json.decode(raw, type=row))
            except msgspec.ValidationError:
                continue
        return found


def read_report(path: Path) -> Report:
    """Empty where there is none yet, or one that an older version wrote in another form."""
    if not path.exists():
        return Report()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except msgspec.ValidationError:
        return Report()


def write_report(path: Path, report: Report) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".part")
    staged.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    staged.replace(path)


def merged(report: Report, name: str, command: str, rows: Sequence[Struct]) -> Report:
    """The report with `rows` in place of what the same data set and model gave before."""
    new = {_identity(msgspec.to_builtins(row)) for row in rows}
    section = report.sections.get(name)
    kept = [
        raw
        for raw in (section.rows if section else ())
        if _identity(msgspec.json.decode(raw)) not in new
    ]
    encoded = [Raw(msgspec.json.encode(row)) for row in rows]
    section = Section(command=command, rows=kept + encoded)
    return Report(sections={**report.sections, name: section})


def _identity(row: dict[str, Any]) -> tuple[object, ...]:
    return tuple(row.get(field) for field in IDENTITY)
