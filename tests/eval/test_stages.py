"""The two stages apart, the slices, and the samples, against examples worked by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.eval.grading import gini, grade, split_at
from tests.eval.running import Sample, chosen_lines
from tests.eval.slicing import by_history, by_product, diversity
from tests.eval.stages import merged, stages_of
from tests.eval.test_grading import DAY, shop

SPLIT = split_at(
    shop(
        *(("ann", "a", 1), ("ann", "b", 1), ("bob", "a", 1), ("bob", "c", 40)),
        *(("ann", "c", 60), ("ann", "new", 60), ("bob", "b", 60)),
    ),
    50 * DAY,
    90 * DAY,
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    sources = [("ann", "ease", ["x", "c"]), ("ann", "two-tower", ["c"])]
    sources += [("bob", "ease", ["b"]), ("bob", "two-tower", [])]
    columns = map(list, zip(*sources, strict=True))
    names = ["customer_id", "source", "product_ids"]
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), tmp_path / "sources.parquet")
    candidates = {
        "customer_id": ["ann", "ann", "bob"],
        "mode": ["new"] * 3,
        "product_id": ["c", "x", "b"],
        "probability": pa.array([0.9, 0.1, 0.5], pa.float32()),
        "ease": pa.array([1.0, 2.0, 1.0], pa.float32()),
        "two-tower": pa.array([1.0, 0.0, 0.0], pa.float32()),
    }
    pq.write_table(pa.table(candidates), tmp_path / "candidates.parquet")
    return tmp_path


def test_the_rankers_lift_is_over_another_order_of_the_same_candidates(out: Path) -> None:
    found = stages_of(out, SPLIT)

    assert found is not None
    ideal_of_two = 1 + 1 / np.log2(3)
    assert found.ranker_ndcg == pytest.approx((1 / ideal_of_two + 1) / 2)
    by_name = {row.order: row for row in found.orders}
    assert by_name["ease"].ndcg == pytest.approx((1 / np.log2(3) / ideal_of_two + 1) / 2)
    assert by_name["two-tower"].lift.ratio == pytest.approx(0)
    assert by_name["ease"].lift.ratio > 0
    assert found.oracle_ndcg == pytest.approx(found.ranker_ndcg)
    assert found.candidate_recall == pytest.approx((1 / 2 + 1) / 2)


def test_recall_of_sources_counts_what_nobody_could_find(out: Path) -> None:
    found = stages_of(out, SPLIT)

    assert found is not None
    recall = {row.source: row.recall["50"] for row in found.sources}
    assert recall == pytest.approx({"merged": 3 / 4, "ease": 3 / 4, "two-tower": 1 / 4})


def test_merging_takes_the_first_of_every_source_before_the_second_of_any() -> None:
    lists = [np.array(names, dtype=object) for names in (["a", "b", "c"], ["d", "a"], [])]

    assert merged(lists).tolist() == ["a", "d", "b", "c"]


def test_a_promoted_product_counts_from_the_threshold_on(out: Path) -> None:
    found = stages_of(out, SPLIT)

    assert found is not None
    slots = {row.threshold: row.slots for row in found.promotions}
    assert slots[0.0] > slots[0.5] > 0 or slots[0.0] == slots[0.5]
    assert found.promotions[0].cost >= found.promotions[-1].cost >= 0


def test_slices_hold_every_shopper_and_every_purchase_once() -> None:
    lists = {"ann": ["c"], "bob": ["x"]}
    ours = grade(SPLIT, lists, "new")

    histories = by_history(SPLIT, ours.users, ours, ours)
    products = by_product(SPLIT, "new", lists, {}, 50 * DAY)

    assert sum(row.shoppers for row in histories) == len(ours.users)
    assert sum(row.answers for row in products) == 3
    found = {row.name: row.found for row in products}
    assert found["first sold in the last 28 days"] == 1
    assert found["first sold after T"] == 0


def test_a_list_of_like_products_is_less_diverse() -> None:
    words = {name: frozenset(name.split()) for name in ("red cup", "red mug", "drum")}

    alike = diversity({"ann": ["red cup", "red mug"]}, ["ann"], words)

    assert alike == pytest.approx(1 - 1 / 3)
    assert diversity({"ann": ["red cup", "drum"]}, ["ann"], words) == 1


@pytest.mark.parametrize(("counts", "expected"), [([1, 1, 1, 1], 0), ([0, 0, 0, 4], 3 / 4)])
def test_gini_tells_equal_exposure_from_all_on_one(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


def test_samples_by_shoppers_share_no_shopper_and_are_drawn_the_same_every_time() -> None:
    bought = shop(*((f"shopper-{n}", item, 1) for n in range(200) for item in ("a", "b")))
    first, second = (
        chosen_lines(Sample("any", 0.1, "shoppers", draw), bought) for draw in range(2)
    )

    assert first.sum() == second.sum() == 40
    assert not (first & second).any()
    assert (chosen_lines(Sample("any", 0.1, "shoppers", 0), bought) == first).all()


def test_the_whole_is_every_line() -> None:
    bought = shop(*((f"shopper-{n}", "a", 1) for n in range(50)))

    assert chosen_lines(Sample("any"), bought).all()
