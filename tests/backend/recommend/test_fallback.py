"""The rungs below a release, decided without any store."""

from datetime import UTC, datetime

import pytest

from backend.recommend.fallback import alike_candidates, newest_candidates, promote
from backend.recommend.ladder import Rung, fill
from backend.recommend.queries import PopularProduct
from backend.recommend.reasons import words
from ml.serving.request import ScoredItem
from tests.backend.recommend.rows import catalog_of, row


def item(product_id: str, score: float) -> ScoredItem:
    return ScoredItem(product_id=product_id, score=score, reason="popular")


@pytest.mark.parametrize(("score", "first"), [(0.6, "promoted"), (0.5, "promoted"), (0.4, "plain")])
def test_promotion_needs_the_threshold(score: float, first: str) -> None:
    items = [item("plain", 0.9), item("promoted", score)]

    ordered = promote(items, frozenset({"promoted"}), threshold=0.5)

    assert ordered[0].product_id == first


def test_the_same_category_comes_by_popularity_and_then_the_same_brand() -> None:
    catalog = catalog_of(
        row("anchor", category="a > b", brand="x"),
        row("quiet", category="a > b"),
        row("popular", category="a > b"),
        row("brand", category="other", brand="x"),
        row("stranger", category="other", brand="y"),
    )
    popular = [
        PopularProduct(product_id="popular", score=1.0),
        PopularProduct(product_id="brand", score=0.9),
    ]

    found = alike_candidates("anchor", catalog, popular)

    assert [candidate.product_id for candidate in found] == ["popular", "quiet", "brand"]
    assert {candidate.because_of for candidate in found} == {"anchor"}


def test_the_newest_product_comes_first_and_one_that_is_not_sold_never() -> None:
    catalog = catalog_of(
        row("old"),
        row("new", created_at=datetime(2026, 6, 1, tzinfo=UTC)),
        row("gone", sellable=False),
    )

    assert [candidate.product_id for candidate in newest_candidates(catalog)] == ["new", "old"]


def test_a_lower_rung_fills_what_a_better_one_leaves_open_and_scores_below_it() -> None:
    rungs = [
        Rung("item-knn", [item("a", 0.8), item("b", 0.4)]),
        Rung("popular", [item("a", 1.0), item("c", 0.9)]),
        Rung("newest", [item("d", 1.0)]),
    ]

    items, name = fill(rungs, limit=3)

    assert name == "item-knn"
    assert [found.product_id for found in items] == ["a", "b", "c"]
    assert items[2].score == pytest.approx(0.36)


def test_the_first_rung_that_gives_anything_names_the_answer() -> None:
    assert fill([Rung("popular", []), Rung("newest", [item("a", 1.0)])], limit=2)[1] == "newest"
    assert fill([Rung("popular", [])], limit=2) == ([], "nothing")


@pytest.mark.parametrize(
    ("code", "title", "sentence"),
    [
        ("bought-together", "Tea", "Often bought together with Tea"),
        ("because-you-viewed", "Tea", "Because you viewed Tea"),
        ("similar", None, "Similar to what you looked at"),
        ("buy-again", None, "You buy this regularly"),
        ("something-later", None, "Popular with shoppers"),
    ],
)
def test_every_reason_has_a_sentence(code: str, title: str | None, sentence: str) -> None:
    assert words(code, title) == sentence
