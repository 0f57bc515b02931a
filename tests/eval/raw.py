"""The data sets as recorded: who bought what and when, read without any code of the product."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


class Purchases(NamedTuple):
    """Positive events, one per row; every array has shape (events,)."""

    user: NDArray[np.object_]
    item: NDArray[np.object_]
    ts: NDArray[np.int64]
    """Unix seconds."""

    def rows(self, chosen: NDArray[np.bool_]) -> "Purchases":
        return Purchases(self.user[chosen], self.item[chosen], self.ts[chosen])


class Cut(NamedTuple):
    """Fit before `validate`, tune up to `test`, report once on [test, until). Unix seconds."""

    validate: int
    test: int
    until: int

    def one_earlier(self) -> "Cut":
        """Grades on [V, T), for choices that must not see the test; validates just before V."""
        return Cut(2 * self.validate - self.test, self.validate, self.test)


def day(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


CUTS = {
    "uci_online_retail": Cut(day("2011-10-10"), day("2011-11-09"), day("2011-12-10")),
    "complete_journey_dev": Cut(day("2017-11-06"), day("2017-12-04"), day("2018-01-02")),
    "movielens_1m": Cut(975_768_738, 978_133_414, day("2003-03-02")),
}


def is_present(dataset: str) -> bool:
    return (DATA / dataset).is_dir()


def read(dataset: str, name: str) -> pa.Table:
    return pq.ParquetFile(DATA / dataset / f"{name}.parquet").read()


def kept_lines(dataset: str) -> pa.Table:
    """The recorded lines that count as a purchase."""
    if dataset == "uci_online_retail":
        lines = read(dataset, "transactions")
        is_product = [str(code)[:5].isdigit() for code in lines["stock_code"].to_pylist()]
        has_customer = lines["customer_id"].is_valid().to_numpy()
        paid = lines["unit_price"].to_numpy() > 0
        keep = (lines["quantity"].to_numpy() > 0) & paid & has_customer & np.array(is_product)
        return lines.filter(pa.array(keep))
    if dataset == "complete_journey_dev":
        lines = read(dataset, "transactions")
        return lines.filter(pa.array(lines["quantity"].to_numpy() > 0))
    lines = read(dataset, "ratings")
    return lines.filter(pa.array(lines["rating"].to_numpy() >= 4))


COLUMNS = {
    "uci_online_retail": ("customer_id", "stock_code", "ts"),
    "complete_journey_dev": ("household_id", "product_id", "ts"),
    "movielens_1m": ("user_id", "item_id", "timestamp"),
}


def purchases(dataset: str) -> Purchases:
    return purchases_of(dataset, kept_lines(dataset))


def purchases_of(dataset: str, lines: pa.Table) -> Purchases:
    """One row per line, in the order of `lines`."""
    user, item, time = (lines[name] for name in COLUMNS[dataset])
    return Purchases(as_text(user), as_text(item), seconds(time))


def as_text(column: pa.ChunkedArray) -> NDArray[np.object_]:
    return column.cast(pa.string()).to_numpy()


def seconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    if pa.types.is_timestamp(column.type):
        return column.to_numpy().astype("datetime64[s]").astype(np.int64)
    return column.to_numpy().astype(np.int64)
