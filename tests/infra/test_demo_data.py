"""The demo shop is in the import format, readable, and the same in every run."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.local.demo_data import median_prices, write_demo_shop
from infra.local.demo_titles import TillName, category_path, readable, size_name, type_name


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_demo_shop(folder, lambda households: households <= 60)
    return folder


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("FLUID MILK WHITE ONLY", "White Milk"),
        ("FRZN SS PREMIUM ENTREES/DNRS/N", "Frozen Single Serve Premium Entrees/Dinners"),
        ("DAIRY CASE 100% PURE JUICE - O", "Dairy Case 100% Pure Juice"),
        ("CANDY BARS (SINGLES)(INCLUDING", "Candy Bars"),
        ("SFT DRNK 2 LITER BTL CARB INCL", "Soft Drinks 2 Liter Bottle"),
        ("BBQ SAUCE", "BBQ Sauce"),
        ("MACARONI & CHEESE DNRS", "Macaroni and Cheese Dinners"),
    ],
)
def test_a_name_from_the_till_becomes_words(printed: str, name: str) -> None:
    known = frozenset({"INCL", "BARS"})

    assert type_name(TillName("GROCERY", None, printed), known) == name


def test_a_vague_type_is_told_with_its_category() -> None:
    beef = TillName("MEAT-PCKGD", "BEEF", "LEAN")

    assert type_name(beef, frozenset()) == "Beef, Lean"
    assert category_path(beef, frozenset()) == "Packaged Meat > Beef > Lean"


@pytest.mark.parametrize(
    ("printed", "department", "size"),
    [
        ("16 OZ", "GROCERY", "16 oz"),
        (".5 L", "GROCERY", "0.5 L"),
        ("12 PK/12 OZ", "GROCERY", "12 pack, 12 oz"),
        ("8 1/2 OZ", "GROCERY", "8 1/2 oz"),
        ("L     9 OZ", "GROCERY", "9 oz"),
        ("(600) 4 LB", "GROCERY", "4 lb"),
        ("CTN", "GROCERY", None),
        ("974246  PK", "DRUG GM", None),
        (None, "GROCERY", None),
        ("40 LB", "PRODUCE", None),
        ("3 LB", "PRODUCE", "3 lb"),
    ],
)
def test_a_size_is_what_the_shopper_buys(
    printed: str | None, department: str, size: str | None
) -> None:
    assert size_name(printed, department) == size


def test_readable_text_stays_as_it_is() -> None:
    assert readable("Greek Yogurt") == "Greek Yogurt"


def test_the_price_is_the_middle_of_what_was_paid_leaving_out_gifts() -> None:
    sales = pa.table({"product_id": [1, 1, 1, 1, 2], "price_cents": [0, 100, 120, 300, 0]})

    sold, prices = median_prices(sales)

    np.testing.assert_array_equal(sold, [1, 2])
    np.testing.assert_array_equal(prices, [120, 0])


def test_events_are_sales_with_ids_of_their_own(shop: Path) -> None:
    events = pq.read_table(shop / "events.parquet")
    ids = events["event_id"].to_pylist()

    assert len(set(ids)) == len(ids) > 5_000
    assert set(events["type"].to_pylist()) == {"purchase"}
    assert events["occurred_at"].type == pa.timestamp("us", tz="UTC")
    assert min(events["quantity"].to_pylist()) > 0
    assert max(events["quantity"].to_pylist()) <= 90
    assert min(events["price_cents"].to_pylist()) >= 0


def test_products_carry_words_and_prices(shop: Path) -> None:
    products = pq.read_table(shop / "products.parquet")
    titles = products["title"].to_pylist()

    assert not [title for title in titles if title.isupper()]
    assert all(" > " in path or path for path in products["category"].to_pylist())
    assert set(products["in_stock"].to_pylist()) == {True}
    sold = set(pq.read_table(shop / "events.parquet")["product_id"].to_pylist())
    listed = set(products["product_id"].to_pylist())
    assert listed <= sold
    assert len(sold - listed) < 5  # the till knows a few products the catalogue does not


def test_a_second_run_writes_the_same(shop: Path, tmp_path: Path) -> None:
    write_demo_shop(tmp_path, lambda households: households <= 60)

    for name in ("products", "customers", "events"):
        assert (tmp_path / f"{name}.parquet").read_bytes() == (
            shop / f"{name}.parquet"
        ).read_bytes()
