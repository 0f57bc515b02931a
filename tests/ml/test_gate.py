"""The gate: own models serve when they beat every baseline for certain, and not otherwise."""

import msgspec
import numpy as np
import pytest

from ml.comparison import ListQuality
from ml.gate import Contest, best_servable, decide, without_models

SHOPPERS = 400


def quality(mean: float, seed: int = 1, shoppers: int = SHOPPERS) -> ListQuality:
    ndcg = np.clip(np.random.default_rng(seed).normal(mean, 0.05, shoppers), 0, 1)
    return ListQuality(ndcg, ndcg, 0.1)


def contest(own: float, shoppers: int = SHOPPERS, **changes: object) -> Contest:
    usual = Contest(
        own=quality(own, 1, shoppers),
        baselines={"trending": quality(0.2, 2, shoppers), "ials": quality(0.15, 3, shoppers)},
        servable={
            "blend": quality(0.17, 6, shoppers),
            "trending": quality(0.2, 2, shoppers),
            "ease": quality(0.18, 7, shoppers),
        },
        repeat_own=quality(0.4, 4, shoppers),
        repeat_servable={
            "blend": quality(0.2, 8, shoppers),
            "buy-again": quality(0.3, 5, shoppers),
        },
    )
    return usual._replace(**changes)


def test_models_that_beat_the_best_baseline_serve() -> None:
    gate = decide(contest(own=0.3))

    assert gate.passed
    assert gate.champion == gate.repeat_champion == "own-models"
    assert gate.baseline == "trending"
    assert gate.lift == pytest.approx(0.5, abs=0.1)
    assert gate.lift_low < gate.lift < gate.lift_high
    assert gate.verdict.startswith("Own models serve: ")


@pytest.mark.parametrize("own", [0.1, 0.2])
def test_models_that_do_not_beat_it_are_refused_and_the_best_servable_order_serves(
    own: float,
) -> None:
    gate = decide(contest(own=own))

    assert not gate.passed
    assert gate.champion == "trending"
    assert "refused" in gate.verdict


def test_a_handful_of_shoppers_proves_nothing() -> None:
    assert not decide(contest(own=0.9, shoppers=10)).passed


def test_models_worse_than_the_release_in_service_are_refused() -> None:
    in_service = decide(contest(own=0.4))
    gate = decide(contest(own=0.3, parent=in_service))

    assert not gate.passed
    assert gate.keeps_parent
    assert "the release in service is better" in gate.verdict


def test_models_about_as_good_as_those_in_service_replace_them() -> None:
    gate = decide(contest(own=0.3, parent=decide(contest(own=0.301))))

    assert gate.passed
    assert not gate.keeps_parent


def test_repeats_stay_with_personal_frequency_where_it_is_better() -> None:
    gate = decide(contest(own=0.3, repeat_own=quality(0.2, 4)))

    assert gate.champion == "own-models"
    assert gate.repeat_champion == "buy-again"


def test_repeats_are_judged_apart_from_new_products() -> None:
    gate = decide(contest(own=0.1))

    assert gate.champion == "trending"
    assert gate.repeat_champion == "own-models"


def test_the_table_shows_own_models_first_then_the_best_baselines() -> None:
    names = [row.name for row in decide(contest(own=0.3)).scores]

    assert names == ["own-models", "trending", "blend", "ials"]


def test_every_rival_has_its_own_lift_and_interval() -> None:
    own, *rivals = decide(contest(own=0.3)).scores

    assert own.lift is None
    for row in rivals:
        assert row.lift == pytest.approx(own.ndcg / row.ndcg - 1)
        assert row.lift_low < row.lift < row.lift_high


def test_the_verdict_is_the_same_every_time() -> None:
    first, second = decide(contest(own=0.22)), decide(contest(own=0.22))

    assert msgspec.to_builtins(first) == msgspec.to_builtins(second)


def test_without_models_the_reason_is_said() -> None:
    orders = {"blend": quality(0.1), "trending": quality(0.2)}
    gate = without_models("Only 12 events.", orders, {"blend": quality(0.1)})

    assert gate.champion == "trending"
    assert gate.repeat_champion == "blend"
    assert gate.verdict == "Only 12 events. Served meanwhile: trending products."


def test_models_must_beat_the_blend_too() -> None:
    strong = contest(own=0.3).servable | {"blend": quality(0.35, 6)}
    gate = decide(contest(own=0.3, servable=strong))

    assert not gate.passed
    assert gate.champion == "blend"
    assert "a blend of simple methods" in gate.verdict


@pytest.mark.parametrize(("lead", "champion"), [(0.001, "blend"), (0.05, "ease")])
def test_a_lead_over_the_blend_that_may_be_chance_does_not_count(
    lead: float, champion: str
) -> None:
    blend = quality(0.2)
    noise = np.random.default_rng(5).normal(0, 0.05, SHOPPERS)
    ease = ListQuality(blend.ndcg + lead + noise - noise.mean(), blend.recall, 0.1)

    assert best_servable({"blend": blend, "ease": ease}) == champion


@pytest.mark.parametrize("shoppers", [0, 10])
def test_where_few_chose_anything_the_blend_serves(shoppers: int) -> None:
    orders = {"blend": quality(0.1, 1, shoppers), "trending": quality(0.9, 2, shoppers)}

    assert best_servable(orders) == "blend"
