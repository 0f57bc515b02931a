"""The grader against examples worked by hand, and against published numbers."""

import math

import numpy as np
import pytest

from tests.eval import raw
from tests.eval.grading import (
    MalformedRecommendations,
    bought_again,
    grade,
    lift,
    lists_of,
    score,
    split_at,
    trending,
)
from tests.eval.raw import Purchases

DAY = 86_400


def shop(*rows: tuple[str, str, int]) -> Purchases:
    """Rows of (shopper, product, day)."""
    users, items, days = zip(*rows, strict=True)
    return Purchases(
        np.array(users, dtype=object),
        np.array(items, dtype=object),
        np.array(days, dtype=np.int64) * DAY,
    )


def test_a_hit_counts_by_its_rank() -> None:
    ndcg, recall, mrr, hit = score(["a", "b", "c", "d"], {"b", "d", "x"})

    gain = 1 / math.log2(3) + 1 / math.log2(5)
    ideal = 1 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg == pytest.approx(gain / ideal)
    assert recall == pytest.approx(2 / 3)
    assert (mrr, hit) == (1 / 2, 1)


def test_a_perfect_list_scores_one_although_more_was_bought_than_fits() -> None:
    bought = {f"product-{number}" for number in range(30)}

    ndcg, recall, mrr, hit = score(sorted(bought)[:20], bought)

    assert ndcg == pytest.approx(1)
    assert recall == pytest.approx(20 / 30)
    assert (mrr, hit) == (1, 1)


def test_what_comes_after_the_twentieth_place_does_not_count() -> None:
    assert score([*map(str, range(20)), "bought"], {"bought"}) == (0, 0, 0, 0)


def test_a_product_nobody_could_know_counts_as_a_miss() -> None:
    split = split_at(
        shop(("ann", "a", 1), ("ann", "b", 10), ("ann", "unseen", 10)), 5 * DAY, 20 * DAY
    )

    assert grade(split, {"ann": ["b"]}, "new").recall == pytest.approx([1 / 2])


def test_new_leaves_out_what_was_bought_before_and_repeat_does_not() -> None:
    split = split_at(shop(("ann", "a", 1), ("ann", "a", 10), ("ann", "b", 10)), 5 * DAY, 20 * DAY)

    assert split.relevant("new") == {"ann": {"b"}}
    assert split.relevant("repeat") == {"ann": {"a", "b"}}


def test_only_shoppers_known_before_the_cut_are_asked_and_one_without_a_list_scores_zero() -> None:
    split = split_at(
        shop(
            ("ann", "a", 1), ("bob", "b", 1), ("ann", "b", 10), ("bob", "a", 10), ("new", "a", 10)
        ),
        5 * DAY,
        20 * DAY,
    )

    grades = grade(split, {"ann": ["b"]}, "new")

    assert grades.users == ["ann", "bob"]
    np.testing.assert_array_equal(grades.ndcg, [1, 0])
    assert grades.coverage == 1 / 2


def test_the_window_is_closed_at_its_start_and_open_at_its_end() -> None:
    split = split_at(
        shop(("ann", "before", 4), ("ann", "first", 5), ("ann", "after", 20)), 5 * DAY, 20 * DAY
    )

    assert split.later == {"ann": {"first"}}


def test_rows_in_any_order_become_lists() -> None:
    assert lists_of(["ann", "bob", "ann"], [2, 1, 1], ["b", "c", "a"]) == {
        "ann": ["a", "b"],
        "bob": ["c"],
    }


@pytest.mark.parametrize(
    ("ranks", "items"), [([1, 1], ["a", "b"]), ([1, 3], ["a", "b"]), ([0, 1], ["a", "b"])]
)
def test_ranks_must_be_one_to_the_length(ranks: list[int], items: list[str]) -> None:
    with pytest.raises(MalformedRecommendations):
        lists_of(["ann", "ann"], ranks, items)


def test_a_product_twice_in_a_list_is_refused() -> None:
    with pytest.raises(MalformedRecommendations):
        score(["a", "a"], {"a"})


def test_trending_prefers_what_sold_lately_and_skips_what_is_owned() -> None:
    split = split_at(
        shop(
            *((shopper, "old", 1) for shopper in ("ann", "bob", "cat")),
            *((shopper, "fresh", 30) for shopper in ("bob", "cat")),
            *(("ann", "later", 40), ("bob", "later", 40)),
        ),
        35 * DAY,
        50 * DAY,
    )

    assert trending(split) == {"ann": ["fresh"], "bob": []}


def test_bought_again_puts_habits_before_best_sellers() -> None:
    split = split_at(
        shop(
            *(("ann", "habit", day) for day in (1, 2, 3)),
            *(("ann", "once", 1), ("bob", "hit", 1), ("cat", "hit", 1), ("ann", "habit", 10)),
        ),
        5 * DAY,
        20 * DAY,
    )

    assert bought_again(split)["ann"] == ["habit", "once", "hit"]


def test_the_lift_is_paired_and_its_interval_holds_it() -> None:
    split = split_at(
        shop(
            *((f"shopper-{n}", "a", 1) for n in range(50)),
            *((f"shopper-{n}", "b", 10) for n in range(50)),
        ),
        5 * DAY,
        20 * DAY,
    )
    users = sorted(split.later)
    weaker = grade(split, {user: ["x", "b"] for user in users}, "new")
    stronger = grade(
        split, {user: ["b"] if n % 2 else ["x", "b"] for n, user in enumerate(users)}, "new"
    )

    found = lift(stronger, weaker)

    assert found.low < found.ratio < found.high
    assert found.low > 0
    assert found.ratio == pytest.approx((1 + math.log2(3)) / 2 - 1)


@pytest.mark.parametrize(
    ("dataset", "mode", "ndcg", "recall", "shoppers"),
    [
        ("uci_online_retail", "new", 0.0925, 0.0780, 1_294),
        ("uci_online_retail", "repeat", 0.3341, 0.2544, 1_395),
        ("complete_journey_dev", "new", 0.0376, 0.0268, 792),
    ],
)
def test_a_baseline_scores_what_another_harness_measured(
    dataset: str, mode: str, ndcg: float, recall: float, shoppers: int
) -> None:
    if not raw.is_present(dataset):
        pytest.skip(f"{dataset} is not in {raw.DATA}")
    cut = raw.CUTS[dataset]
    split = split_at(raw.purchases(dataset), cut.test, cut.until)

    if mode == "new":
        grades = grade(split, trending(split), "new")
    else:
        grades = grade(split, bought_again(split), "repeat")

    assert len(grades.users) == shoppers
    assert grades.ndcg.mean() == pytest.approx(ndcg, abs=0.0005)
    assert grades.recall.mean() == pytest.approx(recall, abs=0.0005)
