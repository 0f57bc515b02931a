"""The data sets in the import format, as a merchant would hand them over."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.local import demo_data
from tests.eval.raw import CUTS, Purchases, as_text, kept_lines, purchases_of, read

COUNTRIES = {
    "Australia": "AU", "Austria": "AT", "Bahrain": "BH", "Belgium": "BE", "Brazil": "BR",
    "Canada": "CA", "Channel Islands": "JE", "Cyprus": "CY", "Czech Republic": "CZ",
    "Denmark": "DK", "EIRE": "IE", "Finland": "FI", "France": "FR", "Germany": "DE",
    "Greece": "GR", "Hong Kong": "HK", "Iceland": "IS", "Israel": "IL", "Italy": "IT",
    "Japan": "JP", "Lebanon": "LB", "Lithuania": "LT", "Malta": "MT", "Netherlands": "NL",
    "Norway": "NO", "Poland": "PL", "Portugal": "PT", "RSA": "ZA", "Saudi Arabia": "SA",
    "Singapore": "SG", "Spain": "ES", "Sweden": "SE", "Switzerland": "CH", "USA": "US",
    "United Arab Emirates": "AE", "United Kingdom": "GB",
}  # fmt: skip


def write_folder(dataset: str, folder: Path, keep: NDArray[np.bool_] | None = None) -> None:
    """keep: (lines,), which of the kept lines the shop consists of; all without it."""
    lines = kept_lines(dataset)
    if keep is not None:
        lines = lines.filter(pa.array(keep))
    tables = {
        "uci_online_retail": gift_shop,
        "complete_journey_dev": grocer,
        "movielens_1m": cinema,
    }[dataset](lines)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")


def gift_shop(lines: pa.Table) -> dict[str, pa.Table]:
    invoice = [f"{name}-{row}" for row, name in enumerate(lines["invoice"].to_pylist())]
    return {
        "products": gifts(lines),
        "customers": gift_buyers(lines),
        "events": events(purchases_of("uci_online_retail", lines), invoice)
        .append_column("quantity", lines["quantity"])
        .append_column("price_cents", pa.array(price_cents(lines["unit_price"]))),
    }


def gifts(lines: pa.Table) -> pa.Table:
    """Titles and prices as they were known when the test begins; for later products, as first."""
    cents = price_cents(lines["unit_price"])
    known = lines["ts"].to_numpy() < np.datetime64(CUTS["uci_online_retail"].test, "s")
    titles: dict[str, Counter[str]] = defaultdict(Counter)
    prices: dict[str, list[int]] = defaultdict(list)
    for code, title, price, is_known in zip(
        as_text(lines["stock_code"]),
        lines["description"].to_pylist(),
        cents.tolist(),
        known.tolist(),
        strict=True,
    ):
        if is_known or not titles[code]:
            titles[code][str(title or code).strip()] += 1
            prices[code].append(price)
    products = sorted(titles)
    return pa.Table.from_pydict(
        {
            "product_id": products,
            "title": [titles[code].most_common(1)[0][0].title() for code in products],
            "price_cents": [int(np.median(prices[code])) for code in products],
            "currency": ["GBP"] * len(products),
        }
    )


def gift_buyers(lines: pa.Table) -> pa.Table:
    countries: dict[str, Counter[str]] = defaultdict(Counter)
    users = as_text(lines["customer_id"])
    for user, country in zip(users, lines["country"].to_pylist(), strict=True):
        countries[user][str(country)] += 1
    return pa.Table.from_pydict(
        {
            "customer_id": sorted(countries),
            "country": [
                COUNTRIES.get(countries[user].most_common(1)[0][0]) for user in sorted(countries)
            ],
        }
    )


def price_cents(column: pa.ChunkedArray) -> np.ndarray:
    return np.rint(column.to_numpy().astype(np.float64) * 100).astype(np.int64)


def grocer(lines: pa.Table) -> dict[str, pa.Table]:
    """The demo shop's own form, from the same retailer's files in the shared form."""
    sales = demo_data.in_units(lines.rename_columns({"ts": "transaction_timestamp"}))
    return {
        "products": demo_data.products(read("complete_journey_dev", "products"), sales),
        "customers": demo_data.customers(read("complete_journey_dev", "demographics"), sales),
        "events": demo_data.events(sales),
    }


def cinema(lines: pa.Table) -> dict[str, pa.Table]:
    """A rating of 4 or 5 counts as a purchase; genres are the category. Unrated films are out."""
    rated = purchases_of("movielens_1m", lines)
    movies = among(read("movielens_1m", "movies"), "item_id", rated.item)
    users = among(read("movielens_1m", "users"), "user_id", rated.user)
    ids = (f"{user}-{item}" for user, item in zip(rated.user, rated.item, strict=True))
    asked = ("gender", "age", "occupation")
    attributes = zip(*(users[name].to_pylist() for name in asked), strict=True)
    return {
        "products": pa.Table.from_pydict(
            {
                "product_id": as_text(movies["item_id"]),
                "title": movies["title"].cast(pa.string()),
                "category": [str(genres).replace("|", " > ") for genres in movies["genres"]],
            }
        ),
        "customers": pa.Table.from_pydict(
            {
                "customer_id": as_text(users["user_id"]),
                "country": ["US"] * len(users),
                "attributes": [
                    msgspec.json.encode(dict(zip(asked, map(str, row), strict=True))).decode()
                    for row in attributes
                ],
            }
        ),
        "events": events(rated, ids),
    }


def among(table: pa.Table, column: str, names: NDArray[np.object_]) -> pa.Table:
    kept = set(names)
    return table.filter(pa.array([name in kept for name in as_text(table[column])]))


def events(bought: Purchases, ids: Iterable[str]) -> pa.Table:
    return pa.Table.from_pydict(
        {
            "event_id": list(ids),
            "type": ["purchase"] * len(bought.ts),
            "customer_id": bought.user,
            "product_id": bought.item,
            "occurred_at": pa.array(bought.ts * 1_000_000).cast(pa.timestamp("us", tz="UTC")),
        }
    )
