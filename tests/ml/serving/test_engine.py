"""The engine, on a release small enough to know the right answer."""

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from ml.serving.engine import LoadedRelease, UnknownProduct, load_release, recommend
from ml.serving.request import EngineAnswer, EngineRequest, Interaction, Mode, Purchase, Ranking
from tests.ml.small_release import NOW_S, PRODUCTS, write_small_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> LoadedRelease:
    return load_release(write_small_release(tmp_path_factory.mktemp("releases")))


def viewed(*product_ids: str) -> list[Interaction]:
    return [
        Interaction(product_id=product_id, kind="view", occurred_at_s=NOW_S - 60.0 * place)
        for place, product_id in enumerate(product_ids, start=1)
    ]


def bought(*product_ids: str) -> list[Purchase]:
    at_s = NOW_S - 86_400.0
    return [
        Purchase(product_id=p, times=1, last_s=at_s, first_s=at_s, strength=1.0)
        for p in product_ids
    ]


def ids(answer: EngineAnswer) -> list[str]:
    return [item.product_id for item in answer.items]


def test_a_shopper_with_history_is_answered_by_the_ranker(release: LoadedRelease) -> None:
    answer = recommend(release, EngineRequest(now_s=NOW_S, limit=5, recent=viewed("p03")))

    assert answer.served_by == "own-models"
    assert answer.calibrated
    assert ids(answer) == PRODUCTS[:5]


def test_an_unknown_shopper_sees_what_sells(release: LoadedRelease) -> None:
    answer = recommend(release, EngineRequest(now_s=NOW_S, limit=3))

    assert answer.served_by == "blend"
    assert ids(answer) == ["p00", "p01", "p02"]


def test_each_market_has_its_own_trend(release: LoadedRelease) -> None:
    everywhere, germany = (
        ids(recommend(release, EngineRequest(now_s=NOW_S, limit=12, market=market)))
        for market in (None, "DE")
    )

    assert germany.index("p11") < everywhere.index("p11")


def test_twelve_are_answered_when_twelve_may_be_shown(release: LoadedRelease) -> None:
    answer = recommend(release, EngineRequest(now_s=NOW_S, limit=12, recent=viewed("p00")))

    assert sorted(ids(answer)) == PRODUCTS


def test_blocked_products_never_appear(release: LoadedRelease) -> None:
    blocked = np.zeros(12, bool)
    blocked[:6] = True
    for recent in ([], viewed("p00")):
        answer = recommend(
            release, EngineRequest(now_s=NOW_S, limit=12, recent=recent, blocked=blocked)
        )
        assert sorted(ids(answer)) == PRODUCTS[6:]


def test_bought_products_come_again_only_when_repeats_are_asked_for(
    release: LoadedRelease,
) -> None:
    owned = bought("p00", "p01")
    new = recommend(release, EngineRequest(now_s=NOW_S, limit=12, bought=owned))
    repeat = recommend(release, EngineRequest(now_s=NOW_S, limit=12, bought=owned, mode="repeat"))

    assert not {"p00", "p01"} & set(ids(new))
    assert ids(repeat)[:2] == ["p00", "p01"]


@pytest.mark.parametrize(("threshold", "first"), [(0.4, "p05"), (0.5, "p00")])
def test_promotion_needs_the_threshold(
    release: LoadedRelease, threshold: float, first: str
) -> None:
    request = EngineRequest(
        now_s=NOW_S,
        limit=3,
        recent=viewed("p03"),
        promoted=frozenset({"p05"}),
        promotion_threshold=threshold,
    )
    answer = recommend(release, request)

    assert ids(answer)[0] == first
    assert (answer.items[0].score == 1.0) == (first == "p05")


def test_the_product_a_reason_rests_on_is_named(release: LoadedRelease) -> None:
    answer = recommend(release, EngineRequest(now_s=NOW_S, limit=12, recent=viewed("p08")))
    reason = {item.product_id: (item.reason, item.because_of) for item in answer.items}

    assert reason["p09"][1] == "p08"


def test_similar_products_begin_with_those_bought_together(release: LoadedRelease) -> None:
    answer = recommend(release, EngineRequest(now_s=NOW_S, limit=4, similar_to="p04"))

    assert ids(answer)[:2] == ["p05", "p06"]
    assert "p04" not in ids(answer)
    assert answer.items[0].reason == "bought-together"


def test_similar_to_a_product_newer_than_the_release_is_refused(release: LoadedRelease) -> None:
    with pytest.raises(UnknownProduct):
        recommend(release, EngineRequest(now_s=NOW_S, limit=4, similar_to="brand-new"))


def test_products_the_release_does_not_know_are_ignored_in_the_history(
    release: LoadedRelease,
) -> None:
    answer = recommend(release, EngineRequest(now_s=NOW_S, limit=2, recent=viewed("gone")))

    assert answer.served_by == "blend"


@pytest.mark.parametrize("champion", ["ease", "item-knn", "trending", "popularity", "blend"])
def test_without_models_the_classical_champion_serves(champion: str, tmp_path: Path) -> None:
    release = load_release(write_small_release(tmp_path, champion=champion))
    answer = recommend(release, EngineRequest(now_s=NOW_S, limit=12, recent=viewed("p05")))

    assert answer.served_by == champion
    assert sorted(ids(answer)) == PRODUCTS
    if champion in {"ease", "item-knn"}:
        assert ids(answer)[:2] == ["p06", "p07"]


def test_a_release_that_was_not_renewed_for_years_still_knows_its_shoppers(
    tmp_path: Path,
) -> None:
    release = load_release(write_small_release(tmp_path, champion="ease"))
    recent = viewed("p05")
    fresh = recommend(release, EngineRequest(now_s=NOW_S, limit=3, recent=recent))
    years_later = recommend(
        release, EngineRequest(now_s=NOW_S + 9 * 365 * 86_400, limit=3, recent=recent)
    )

    assert ids(years_later) == ids(fresh)
    assert years_later.items[0].because_of == "p05"


def test_what_was_done_after_the_release_counts_more_than_what_came_before(
    tmp_path: Path,
) -> None:
    release = load_release(write_small_release(tmp_path, champion="ease"))
    now_s = NOW_S + 900 * 86_400
    just_now = Interaction(product_id="p08", kind="view", occurred_at_s=now_s - 5)
    answer = recommend(
        release, EngineRequest(now_s=now_s, limit=2, recent=[just_now, *viewed("p05")])
    )

    assert ids(answer)[0] == "p09"


def test_equal_requests_get_equal_answers(release: LoadedRelease) -> None:
    request = EngineRequest(now_s=NOW_S, limit=12, recent=viewed("p02", "p07"))
    first, second = recommend(release, request), recommend(release, request)

    assert first.items == second.items


def done(kind: str, product_id: str, seconds_ago: float) -> Interaction:
    return Interaction(product_id=product_id, kind=kind, occurred_at_s=NOW_S - seconds_ago)


@pytest.mark.parametrize("mode", ["new", "repeat"])
def test_what_was_dismissed_is_not_shown_until_the_shopper_comes_back_to_it(
    release: LoadedRelease, mode: Mode
) -> None:
    dismissed = [done("dismiss", "p01", 60), done("view", "p01", 120)]
    viewed_again = [done("view", "p01", 30), *dismissed]

    shown, again = (
        ids(recommend(release, EngineRequest(now_s=NOW_S, limit=12, mode=mode, recent=recent)))
        for recent in (dismissed, viewed_again)
    )

    assert sorted(shown) == [product for product in PRODUCTS if product != "p01"]
    assert sorted(again) == PRODUCTS


def test_what_was_sent_back_no_longer_speaks_for_its_like(tmp_path: Path) -> None:
    release = load_release(write_small_release(tmp_path, champion="ease"))
    kept = [done("view", "p03", 30), done("purchase", "p08", 60)]
    sent_back = [done("view", "p03", 30), done("refund", "p08", 40), done("purchase", "p08", 60)]

    before, after = (
        ids(recommend(release, EngineRequest(now_s=NOW_S, limit=2, recent=recent)))
        for recent in (kept, sent_back)
    )

    assert before[0] == "p09"
    assert after == ["p04", "p05"]


def test_no_reason_rests_on_what_was_dismissed(release: LoadedRelease) -> None:
    recent = [done("dismiss", "p03", 30), done("view", "p03", 40), done("view", "p08", 90)]
    answer = recommend(release, EngineRequest(now_s=NOW_S, limit=12, recent=recent))

    because = {item.because_of for item in answer.items}
    assert "p08" in because
    assert "p03" not in because


def test_complements_go_with_what_is_in_the_cart_and_are_not_in_it(release: LoadedRelease) -> None:
    request = EngineRequest(now_s=NOW_S, limit=12, goes_with=["p04", "p05", "brand-new"])

    answer = recommend(release, request)

    assert ids(answer)[:2] == ["p06", "p07"]
    assert not {"p04", "p05"} & set(ids(answer))
    assert [(item.reason, item.because_of) for item in answer.items[:2]] == [
        ("bought-together", "p05"),
        ("bought-together", "p05"),
    ]
    assert {item.reason for item in answer.items[2:]} == {"trending"}
    assert answer.served_by == "item-knn"


def test_complements_of_nothing_the_release_knows_are_refused(release: LoadedRelease) -> None:
    with pytest.raises(UnknownProduct):
        recommend(release, EngineRequest(now_s=NOW_S, limit=4, goes_with=["brand-new"]))


@pytest.mark.parametrize(
    ("ranked_by", "market", "first"),
    [("trending", None, "p00"), ("trending", "DE", "p11"), ("popularity", "DE", "p00")],
)
def test_a_chart_is_the_same_for_everybody_in_a_market(
    release: LoadedRelease, ranked_by: Ranking, market: str | None, first: str
) -> None:
    request = EngineRequest(now_s=NOW_S, limit=12, ranked_by=ranked_by, market=market)

    answer = recommend(release, request)
    known = recommend(release, structs.replace(request, recent=viewed("p06")))

    assert ids(answer)[0] == first
    assert len(answer.items) == 12
    assert answer.served_by == ranked_by
    assert known.items == answer.items


def bought_days_ago(product_id: str, *days_ago: float) -> Purchase:
    """days_ago: of each purchase."""
    return Purchase(
        product_id=product_id,
        times=len(days_ago),
        last_s=NOW_S - min(days_ago) * 86_400,
        first_s=NOW_S - max(days_ago) * 86_400,
        strength=float(len(days_ago)),
    )


@pytest.mark.parametrize("champion", ["own-models", "ease"])
def test_what_is_bought_again_is_due_by_its_rhythm(tmp_path: Path, champion: str) -> None:
    release = load_release(write_small_release(tmp_path, champion=champion))
    bought = [
        bought_days_ago("p02", 40),  # of which buyers come back after 30 days
        bought_days_ago("p03", 3),
        bought_days_ago("p04", 5, 12, 19),  # every week
        bought_days_ago("p05", 60, 360),
    ]
    request = EngineRequest(now_s=NOW_S, limit=12, ranked_by="habit", mode="repeat", bought=bought)

    answer = recommend(release, request)

    assert set(ids(answer)) == {"p02", "p04"}
    reasons = {item.product_id: (item.reason, item.because_of) for item in answer.items}
    assert reasons == {"p02": ("bought-before", "p02"), "p04": ("buy-again", "p04")}
    assert answer.served_by == ("own-models" if champion == "own-models" else "buy-again")


@pytest.mark.parametrize("champion", ["own-models", "popularity", "blend"])
def test_a_list_is_ranked_whole_and_with_nothing_else_in_it(tmp_path: Path, champion: str) -> None:
    release = load_release(write_small_release(tmp_path, champion=champion))
    listed = ["p07", "p01", "brand-new", "p10"]
    request = EngineRequest(now_s=NOW_S, limit=25, recent=viewed("p06"), among=listed)

    answer = recommend(release, request)

    assert sorted(ids(answer)) == ["p01", "p07", "p10"]
    assert answer.served_by == champion
