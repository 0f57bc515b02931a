"""The import format as files: three kinds of file, one contract."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.dataset import EVENTS, PRODUCTS, DatasetRejected, read_dataset

PRODUCTS_CSV = "product_id,title,price_cents,markets\n001,Milk,129,DE|FR\n2,Bread,,\n"
EVENTS_CSV = (
    "event_id,type,customer_id,product_id,occurred_at\n"
    "e1,purchase,007,001,2024-05-01T10:00:00Z\n"
    "e2,view,007,2,2024-05-01T11:00:00Z\n"
)
EVENTS_JSONL = (
    '{"event_id": "e1", "type": "purchase", "customer_id": "007", "product_id": "001",'
    ' "occurred_at": "2024-05-01T10:00:00Z"}\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "products.csv").write_text(PRODUCTS_CSV)
    (tmp_path / "events.csv").write_text(EVENTS_CSV)
    return tmp_path


def test_csv_keeps_leading_zeros_lists_and_empty_cells(folder: Path) -> None:
    dataset = read_dataset(folder)

    assert dataset.products["product_id"].to_pylist() == ["001", "2"]
    assert dataset.products["markets"].to_pylist() == [["DE", "FR"], None]
    assert dataset.products["price_cents"].to_pylist() == [129, None]
    assert dataset.events["customer_id"].to_pylist() == ["007", "007"]
    assert dataset.events["occurred_at"].to_pylist()[0] == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert dataset.customers.num_rows == 0


def test_absent_optional_columns_are_null(folder: Path) -> None:
    dataset = read_dataset(folder)

    assert dataset.products.schema == PRODUCTS
    assert dataset.events.schema == EVENTS
    assert dataset.products["brand"].null_count == 2


def test_jsonl_and_parquet_say_the_same(folder: Path) -> None:
    (folder / "events.csv").unlink()
    (folder / "events.jsonl").write_text(EVENTS_JSONL)
    lines = read_dataset(folder).events
    (folder / "events.jsonl").unlink()
    pq.write_table(lines, folder / "events.parquet")

    assert read_dataset(folder).events.equals(lines)


def test_a_folder_of_parts_is_one_table(folder: Path) -> None:
    events = read_dataset(folder).events
    (folder / "events.csv").unlink()
    parts = folder / "events"
    parts.mkdir()
    pq.write_table(events.slice(0, 1), parts / "part-0.parquet")
    pq.write_table(events.slice(1), parts / "part-1.parquet")

    assert read_dataset(folder).events.num_rows == 2


def test_a_missing_file_and_a_missing_column_are_named(folder: Path) -> None:
    (folder / "events.csv").write_text("event_id,type\ne1,view\n")
    with pytest.raises(DatasetRejected, match=r"events\.csv lacks the column occurred_at"):
        read_dataset(folder)
    (folder / "events.csv").unlink()
    with pytest.raises(DatasetRejected, match=r"none of events\.parquet"):
        read_dataset(folder)


def test_an_empty_id_is_refused(folder: Path) -> None:
    (folder / "products.csv").write_text("product_id,title\n,Nameless\n")
    with pytest.raises(DatasetRejected, match="product_id is empty"):
        read_dataset(folder)


def test_numbers_that_are_none_are_refused_with_their_column(folder: Path) -> None:
    (folder / "products.csv").write_text("product_id,title,price_cents\n1,Milk,cheap\n")
    with pytest.raises(DatasetRejected, match="cheap"):
        read_dataset(folder)


def test_times_without_a_zone_are_utc(folder: Path) -> None:
    events = read_dataset(folder).events
    naive = events.set_column(
        5,
        "occurred_at",
        events["occurred_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us")),
    )
    (folder / "events.csv").unlink()
    pq.write_table(naive, folder / "events.parquet")

    assert read_dataset(folder).events.equals(events)
