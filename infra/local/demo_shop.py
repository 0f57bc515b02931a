"""Which shop a demo shows: the built-in one, or a folder in the import format."""

import csv
import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
from msgspec import Struct

from infra.local.demo_data import DemoDataMissing, write_demo_shop
from infra.local.preflight import CannotStart
from infra.local.state import private_folder

KINDS = ("products", "customers", "events")
"""In the order of import: an event of an unknown product is kept, and needs a second look."""
FORMATS = ("parquet", "csv", "jsonl")
LONGEST_SLUG = 63


class ShopFile(Struct, frozen=True, kw_only=True):
    kind: str
    format: str
    path: Path
    fingerprint: str
    """Changes with the content; a file imported once is not imported again."""


class Shop(Struct, frozen=True, kw_only=True):
    slug: str
    name: str
    files: list[ShopFile]


def chosen_shop(state_dir: Path) -> Shop:
    """The folder that DATA names, else the grocer, built once. Raises CannotStart."""
    named = os.environ.get("DATA")
    if named:
        folder = Path(named).expanduser().resolve()
        return Shop(slug=slug_of(folder.name), name=folder.name, files=shop_files(folder))
    folder = private_folder(state_dir / "demo") / "shop"
    if not all((folder / f"{kind}.parquet").exists() for kind in KINDS):
        try:
            write_demo_shop(folder)
        except DemoDataMissing as missing:
            raise CannotStart(str(missing)) from None
    return Shop(slug="demo", name="Demo grocer", files=shop_files(folder))


def shop_files(folder: Path) -> list[ShopFile]:
    if not folder.is_dir():
        raise CannotStart(f"DATA names {folder}, which is not a folder.")
    found = [file for kind in KINDS if (file := shop_file(folder, kind))]
    if "events" not in {file.kind for file in found}:
        raise CannotStart(
            f"{folder} holds no events.parquet, events.csv or events.jsonl.\n"
            "docs/import.md describes the files: products, customers, events."
        )
    return found


def shop_file(folder: Path, kind: str) -> ShopFile | None:
    for form in FORMATS:
        path = folder / f"{kind}.{form}"
        if path.is_file():
            about = path.stat()
            fingerprint = f"{path}:{about.st_size}:{about.st_mtime_ns}"
            return ShopFile(kind=kind, format=form, path=path, fingerprint=fingerprint)
    return None


def slug_of(name: str) -> str:
    """A tenant's name as the database wants it."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST_SLUG].strip("-")
    return slug or "shop"


def some_shopper(shop: Shop) -> str | None:
    """A customer with an event, to try a request with; None where the events name none."""
    file = next(file for file in shop.files if file.kind == "events")
    return SHOPPER_OF[file.format](file.path)


def shopper_in_parquet(path: Path) -> str | None:
    rows = next(pq.ParquetFile(path).iter_batches(batch_size=100, columns=["customer_id"]))
    return first_named(rows.column(0).to_pylist())


def shopper_in_csv(path: Path) -> str | None:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        return first_named(row.get("customer_id") for row in islice(csv.DictReader(lines), 100))


def shopper_in_jsonl(path: Path) -> str | None:
    with path.open("rb") as lines:
        return first_named(
            msgspec.json.decode(line, type=Named).customer_id for line in islice(lines, 100)
        )


class Named(Struct, frozen=True, kw_only=True):
    customer_id: str | None = None


def first_named(customers: Iterable[str | None]) -> str | None:
    return next((str(customer) for customer in customers if customer), None)


SHOPPER_OF = {"parquet": shopper_in_parquet, "csv": shopper_in_csv, "jsonl": shopper_in_jsonl}
