"""Files as shops have them: what is wrong is said with its row and field, and the rest is kept."""

import io
import tracemalloc
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.imports.schemas import ImportRun, RowError
from tests.backend.imports.conftest import Import, errors_of
from tests.conftest import Shop

EVENT: dict[str, Any] = {
    "event_id": "e1",
    "type": "purchase",
    "customer_id": "ann",
    "product_id": "tea",
    "occurred_at": "2026-03-01T12:00:00Z",
}
HEADER = "product_id,title,price_cents,in_stock,markets,attributes,updated_at\n"


async def errors(shop: Shop, run: ImportRun) -> list[tuple[int, str | None, str]]:
    found: list[RowError] = (await errors_of(shop, run)).errors
    return [(error.row_number, error.field, error.message) for error in found]


def parquet(**columns: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def jsonl(*rows: dict[str, Any]) -> bytes:
    return b"\n".join(msgspec.json.encode(row) for row in rows)


async def test_a_csv_file_says_everything_a_product_can_have(shop: Shop, imported: Import) -> None:
    row = 'tea,"Tea, green",499,false,DE|FR,"{""cups"": 2}",2026-03-01T12:00:00Z\n'

    run = await imported("products", "csv", (HEADER + row).encode())

    assert (run.state, run.rows_accepted, run.rows_written) == ("succeeded", 1, 1)
    kept = (await shop.get("/v1/products/tea")).json()
    assert kept["title"] == "Tea, green"
    assert kept["price_cents"] == 499
    assert kept["in_stock"] is False
    assert kept["markets"] == ["DE", "FR"]
    assert kept["attributes"] == {"cups": 2}
    assert kept["updated_at"] == "2026-03-01T12:00:00Z"


async def test_empty_cells_and_a_byte_order_mark_do_no_harm(shop: Shop, imported: Import) -> None:
    run = await imported("products", "csv", (f"\ufeff{HEADER}tea,Tea,,,,,\n\n").encode())

    assert (run.rows_read, run.rows_accepted) == (1, 1)
    assert (await shop.get("/v1/products/tea")).json()["price_cents"] is None


WRONG_CSV = [
    ("tea,Tea,x,,,,", "price_cents", "price_cents must be a whole number, not 'x'"),
    ("tea,Tea,1.5,,,,", "price_cents", "price_cents must be a whole number, not '1.5'"),
    ("tea,Tea,nan,,,,", "price_cents", "price_cents must be a whole number, not 'nan'"),
    ("tea,Tea,-5,,,,", "price_cents", "price_cents must be at least 0"),
    ("tea,Tea,,perhaps,,,", "in_stock", "in_stock must be true or false, not 'perhaps'"),
    ("tea,Tea,,,de,,", "markets", "markets[0] must be two capital letters, such as DE"),
    ("tea,Tea,,,,[],", "attributes", "attributes must be a JSON object, such as {}"),
    ("tea,Tea,,,,{,", "attributes", "attributes must be a JSON object, such as {}"),
    ("tea,,,,,,", "title", "title is missing"),
    ("tea,Tea,,,,,1970-01-01T00:00:00Z", "updated_at", "updated_at is before 1995"),
    (
        "tea,Tea,,,,,2999-01-01T00:00:00Z",
        "updated_at",
        "updated_at is more than 24 hours in the future",
    ),
    (
        "tea,Tea,,,,,tomorrow",
        "updated_at",
        "updated_at must be a time such as 2026-03-01T12:00:00Z",
    ),
    (f"{'x' * 10_000},Tea,,,,,", "product_id", "product_id is longer than 200 characters"),
    (f"tea,{'x' * 1001},,,,,", "title", "title is longer than 1000 characters"),
    ("tea,a\0b,,,,,", "title", "title holds the character U+0000"),
    ("tea,Tea", None, "the row has 2 fields, the header has 7"),
    ("tea,Tea,,,,,,,", None, "the row has 9 fields, the header has 7"),
    (f"tea,{'x' * 10_000_000},,,,,", None, "the row is longer than 1 MB"),
]


@pytest.mark.parametrize(("row", "field", "message"), WRONG_CSV)
async def test_a_wrong_csv_row_is_rejected_alone(
    shop: Shop, imported: Import, row: str, field: str | None, message: str
) -> None:
    run = await imported("products", "csv", f"{HEADER}a,A,,,,,\n{row}\nz,Z,,,,,\n".encode())

    assert run.state == "succeeded"
    assert (run.rows_read, run.rows_accepted, run.rows_rejected) == (3, 2, 1)
    assert await errors(shop, run) == [(2, field, message)]
    assert len((await shop.get("/v1/products")).json()["products"]) == 2


async def test_a_quote_that_is_never_closed_is_found(shop: Shop, imported: Import) -> None:
    run = await imported("products", "csv", f'{HEADER}a,A,,,,,\nb,"B,,,,,\n'.encode())

    [(row, field, message)] = await errors(shop, run)
    assert (row, field) == (2, None)
    assert message.startswith("the row cannot be read")


UNREADABLE = [
    ("products", "csv", b"", "the file is empty"),
    ("products", "csv", HEADER.encode(), "the file has no rows of data"),
    ("products", "jsonl", b"\n\n", "the file has no rows of data"),
    (
        "products",
        "csv",
        b"product_id;title\ntea;Tea\n",
        "the columns are separated by semicolons: separate them by commas",
    ),
    (
        "products",
        "csv",
        b"product_id\ttitle\ntea\tTea\n",
        "the columns are separated by tabs: separate them by commas",
    ),
    ("products", "csv", b"product_id,name\ntea,Tea\n", "the column title must be in the file"),
    ("events", "csv", b"type\nview\n", "the columns event_id, occurred_at must be in the file"),
    (
        "products",
        "csv",
        b"product_id,title\ntea,Tea\ncafe,Caf\xe9\n",
        "the file is not UTF-8 in row 2: save it as UTF-8",
    ),
    (
        "events",
        "jsonl",
        jsonl(EVENT) + b'\n{"event_id":"Caf\xe9"}',
        "the file is not UTF-8 in row 2: save it as UTF-8",
    ),
    (
        "products",
        "csv",
        "product_id,title\ntea,Tea\n".encode("utf-16"),
        "the file is UTF-16: save it as UTF-8",
    ),
    (
        "products",
        "csv",
        b"product_id,title,title\ntea,Tea,Tea\n",
        "the header names title more than once",
    ),
    ("products", "parquet", b"PAR1 but not really PAR1", "this is not a Parquet file"),
    ("products", "parquet", parquet(product_id=["a"]), "the column title must be in the file"),
    (
        "products",
        "parquet",
        parquet(product_id=pa.array([], pa.string()), title=pa.array([], pa.string())),
        "the file has no rows of data",
    ),
]


@pytest.mark.parametrize(("kind", "form", "content", "reason"), UNREADABLE)
async def test_a_file_that_cannot_be_read_fails_with_the_reason_and_leaves_nothing(
    shop: Shop, imported: Import, kind: str, form: str, content: bytes, reason: str
) -> None:
    run = await imported(kind, form, content)

    assert run.state == "failed"
    assert (run.reason or "").startswith(reason)
    assert (await shop.get("/v1/products")).json()["products"] == []


async def test_unknown_columns_are_ignored_and_listed(imported: Import) -> None:
    csv = await imported("products", "csv", b"product_id,title,colour\ntea,Tea,green\n")
    lines = await imported("events", "jsonl", jsonl({**EVENT, "colour": "green"}))
    table = await imported("products", "parquet", parquet(product_id=["a"], title=["A"], x=[1]))

    assert csv.warnings == lines.warnings == ["the column 'colour' is not known and was ignored"]
    assert table.warnings == ["the column 'x' is not known and was ignored"]


WRONG_EVENTS: list[tuple[dict[str, Any], str | None, str]] = [
    ({"quantity": -1}, "quantity", "quantity must be at least 0"),
    ({"quantity": "2"}, "quantity", "quantity must be a whole number, not text"),
    ({"type": "bought"}, "type", "type must be one of"),
    ({"customer_id": None}, "customer_id", "customer_id or session_id is missing"),
    ({"product_id": None}, "product_id", "product_id is missing"),
    ({"occurred_at": "1970-01-01T00:00:00Z"}, "occurred_at", "occurred_at is before 1995"),
    (
        {"occurred_at": "2999-01-01T00:00:00Z"},
        "occurred_at",
        "occurred_at is more than 24 hours in the future",
    ),
    ({"currency": "Euro"}, "currency", "currency must be three capital letters"),
    ({"event_id": "x" * 10_000}, "event_id", "event_id is longer than 200 characters"),
    ({"context": {"a": "x" * 5000}}, "context", "context is larger than 4096 bytes"),
]


@pytest.mark.parametrize(("fields", "field", "message"), WRONG_EVENTS)
async def test_a_wrong_event_is_rejected_alone(
    shop: Shop, imported: Import, fields: dict[str, Any], field: str, message: str
) -> None:
    run = await imported(
        "events", "jsonl", jsonl(EVENT, {**EVENT, **fields}, {**EVENT, "event_id": "e3"})
    )

    [(row, named, said)] = await errors(shop, run)
    assert (run.rows_accepted, run.rows_written, row, named) == (2, 2, 2, field)
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("line", "field", "message"),
    [
        (
            b'{"event_id":"e2","type":"view","session_id":"s","product_id":"p",'
            b'"occurred_at":"2026-03-01T12:00:00Z","quantity":NaN}',
            "quantity",
            "quantity must not be NaN or infinite",
        ),
        (b'{"event_id":"e2"', None, "the row is not JSON"),
        (b"[]", None, "the event must be an object, not a list"),
        (
            b'{"context":' + b"[" * 100_000,
            "context",
            "context must be an object, not a list",
        ),
        (b'{"context":' + b'{"a":' * 100_000, None, "the row is nested too deeply"),
        (b'{"event_id":"' + b"x" * 10_000_000 + b'"}', None, "the row is longer than 1 MB"),
    ],
    ids=["NaN", "cut off", "a list", "deep lists", "deep objects", "10 MB"],
)
async def test_a_hostile_line_is_rejected_alone(
    shop: Shop, imported: Import, line: bytes, field: str | None, message: str
) -> None:
    run = await imported("events", "jsonl", jsonl(EVENT) + b"\n" + line + b"\n")

    [(row, named, said)] = await errors(shop, run)
    assert (run.rows_accepted, row, named) == (1, 2, field)
    assert said.startswith(message)


@pytest.mark.parametrize("depth", [900, 1100])
async def test_deep_attributes_end_no_import(imported: Import, depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    row = b'{"product_id":"a","title":"A","attributes":%s}\n' % deep

    run = await imported("products", "jsonl", row + b'{"product_id":"b","title":"B"}\n')

    assert run.state == "succeeded"
    assert run.rows_read == 2


async def test_parquet_columns_are_cast_where_nothing_is_lost(shop: Shop, imported: Import) -> None:
    run = await imported(
        "products",
        "parquet",
        parquet(
            product_id=[1, 2],
            title=pa.array(["One", "Two"]).dictionary_encode(),
            price_cents=[100.0, None],
            in_stock=[True, None],
            markets=[["DE"], None],
            attributes=[{"size": 3}, None],
            updated_at=pa.array([1_700_000_000_000_000_000, None], pa.timestamp("ns")),
        ),
    )

    assert (run.state, run.rows_accepted) == ("succeeded", 2)
    one = (await shop.get("/v1/products/1")).json()
    assert (one["price_cents"], one["markets"], one["attributes"]) == (100, ["DE"], {"size": 3})
    assert one["updated_at"] == "2023-11-14T22:13:20Z"


async def test_parquet_values_that_do_not_fit_are_row_errors(shop: Shop, imported: Import) -> None:
    run = await imported(
        "products",
        "parquet",
        parquet(product_id=["a", "b", "c"], title=["A"] * 3, price_cents=[1.0, 2.5, float("nan")]),
    )

    assert await errors(shop, run) == [
        (2, "price_cents", "price_cents must be a whole number, not '2.5'"),
        (3, "price_cents", "price_cents must not be NaN or infinite"),
    ]


async def test_times_as_numbers_are_not_guessed_at_in_parquet(shop: Shop, imported: Import) -> None:
    columns = {name: [value] for name, value in EVENT.items()}
    run = await imported("events", "parquet", parquet(**{**columns, "occurred_at": [1.7e18]}))

    [(_, field, _)] = await errors(shop, run)
    assert field == "occurred_at"


async def test_a_large_file_does_not_fill_the_memory(imported: Import) -> None:
    rows = 30_000
    fat = {**EVENT, "context": {"note": "x" * 300}}
    content = jsonl(*({**fat, "event_id": str(number)} for number in range(rows)))
    tracemalloc.start()

    run = await imported("events", "jsonl", content)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert run.rows_written == rows
    assert peak < 60 * 1024**2  # the file itself, the request, and 20,000 rows
