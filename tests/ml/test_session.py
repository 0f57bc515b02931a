"""Visits, and what is learned from them: by hand, and on walks with a known direction."""

import msgspec
import numpy as np
import pytest

from ml.interactions import KIND_INDEX, InteractionLog
from ml.serving.session_network import NETWORK_CLICKS
from ml.serving.session_tables import NOTHING, Sessions
from ml.serving.sessions import session_scores, visit_of
from ml.session import Visits, cut_visits, learn_rules, learn_sessions, steps_of
from ml.session_choice import (
    NO_SESSIONS,
    SessionConfig,
    SessionPlan,
    choose_sessions,
    extend_network,
    fit_sessions,
    rank_of,
)
from ml.session_network import NetworkConfig, train_network
from tests.ml.toy_visits import DAY_S, PRODUCTS, START_S, log_of, walks

CUT_S = START_S + 45 * DAY_S
NETWORK = NetworkConfig(dim=16, batch_size=128, passes=6)
CONFIG = SessionConfig(most_steps=300, network=NETWORK)


def quiet(fraction: float, figures: dict[str, float] | None = None) -> None:
    pass


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    return walks()


def choose(log: InteractionLog) -> SessionPlan:
    return choose_sessions(log, int(log.shopper.max()) + 1, PRODUCTS, CUT_S, CONFIG, quiet)


def visits(*items: list[int]) -> Visits:
    start = np.r_[0, np.cumsum([len(visit) for visit in items])]
    item = np.concatenate(items).astype(np.int32)
    return Visits(start, item, np.arange(len(item), dtype=np.int64))


def test_a_pause_of_more_than_half_an_hour_ends_a_visit() -> None:
    events = [(0, 1, "view", 0), (0, 2, "view", 1800), (0, 3, "view", 3601), (0, 4, "view", 3700)]
    found = cut_visits(log_of(events), 1800)

    assert found.start.tolist() == [0, 2, 4]
    assert found.item.tolist() == [1, 2, 3, 4]


def test_visits_are_in_the_order_in_which_they_ended() -> None:
    events = [(0, 1, "view", 0), (1, 2, "view", 1), (1, 3, "view", 2), (0, 4, "view", 3)]

    assert cut_visits(log_of(events), 1800).item.tolist() == [2, 3, 1, 4]


def test_a_single_view_and_a_single_basket_are_no_visits() -> None:
    events = [(0, 1, "view", 0), (1, 2, "purchase", 5), (1, 3, "purchase", 5)]

    assert cut_visits(log_of(events), 1800).start.tolist() == [0]


def test_dislikes_and_impressions_are_no_steps() -> None:
    kinds = ["view", "impression", "dismiss", "add_to_cart"]
    events = [(0, item, kind, item) for item, kind in enumerate(kinds)]

    assert cut_visits(log_of(events), 1800).item.tolist() == [0, 3]


def test_every_choice_is_asked_with_what_came_before_its_basket() -> None:
    events = [(0, 1, "view", 0), (0, 2, "purchase", 60), (0, 3, "purchase", 60)]
    steps = steps_of(cut_visits(log_of(events), 1800), width=3)

    assert steps.target.tolist() == [2, 3]
    assert steps.clicks.tolist() == [[1, -1, -1], [1, -1, -1]]


def test_rules_count_what_followed_less_the_further_apart() -> None:
    rules = learn_rules(visits([0, 1, 2], [0, 2]), 3)
    followed = dict(zip(rules.item[0, :2].tolist(), rules.weight[0, :2].tolist(), strict=True))

    assert followed == {2: 1.5, 1: 1.0}
    assert rules.weight[2].sum() == 0


def test_the_index_leads_both_ways() -> None:
    sessions = learn_sessions(visits([0, 1, 0], [2, 1]), 4)

    assert sessions.visit_item.tolist() == [1, 0, 2, 1]
    assert sessions.visit_start.tolist() == [0, 2, 4]
    assert [sessions.item_start.tolist(), sessions.item_click.tolist()] == [
        [0, 1, 3, 4, 4],
        [1, 0, 3, 2],
    ]
    assert sessions.click_visit.tolist() == [0, 0, 1, 1]


def test_nothing_is_learned_from_nothing() -> None:
    assert learn_sessions(cut_visits(walks().rows(slice(0)), 1800), 5) is NOTHING


def test_a_target_without_score_has_no_rank() -> None:
    scores = np.array([[3, 3, 0, 1]], np.float32)

    assert [rank_of(scores, target)[0] for target in range(4)] == [1, 2, np.inf, 3]


def test_the_champion_of_later_visits_beats_what_is_trending(log: InteractionLog) -> None:
    plan = choose(log)
    contest = plan.contest
    assert contest is not None
    merit = {row.name: row.hit + row.mrr for row in contest.scores}

    assert plan.serves
    assert contest.serves
    assert merit[contest.champion] == max(merit.values())
    assert merit["rules"] > merit["trending"]


def test_equal_seed_and_data_give_an_equal_choice(log: InteractionLog) -> None:
    first, second = choose(log), choose(log)

    assert msgspec.json.encode(first.contest) == msgspec.json.encode(second.contest)
    assert first[:5] == second[:5]


def test_nothing_is_learned_from_the_moment_of_the_cut_on(log: InteractionLog) -> None:
    plan = choose(log)
    later = log.ts >= CUT_S
    changed = log._replace(item=np.where(later, 0, log.item).astype(np.int32))
    first, second = (fit_sessions(one.before(CUT_S), PRODUCTS, plan) for one in (log, changed))

    assert_equal(first, second)
    assert later.any()


def test_where_the_next_product_is_chance_no_session_method_serves() -> None:
    orderly = walks()
    rng = np.random.default_rng(1)
    popular = rng.integers(0, PRODUCTS, len(orderly.ts)) ** 2 // PRODUCTS
    plan = choose(orderly._replace(item=popular.astype(np.int32)))

    assert plan.contest is not None
    assert not plan.serves
    assert plan.contest.champion == ""
    assert fit_sessions(orderly, PRODUCTS, plan) is NOTHING


def test_where_orders_alone_are_known_there_are_no_visits() -> None:
    orders = walks()
    plan = choose(orders._replace(kind=np.full_like(orders.kind, KIND_INDEX["purchase"])))

    assert plan == NO_SESSIONS


def test_too_few_visits_teach_nothing() -> None:
    plan = choose(walks(visits=50))

    assert plan.contest is None
    assert fit_sessions(walks(visits=50), PRODUCTS, plan) is NOTHING


def test_equal_seed_and_data_give_an_equal_network(log: InteractionLog) -> None:
    steps = steps_of(cut_visits(log, 1800), NETWORK_CLICKS)
    config = msgspec.structs.replace(NETWORK, passes=2.0)
    first, second = (train_network(steps, PRODUCTS, config, quiet) for _ in range(2))

    np.testing.assert_array_equal(first.vectors, second.vectors)


@pytest.mark.parametrize("negatives", [2, 2048])
def test_the_network_learns_the_direction(log: InteractionLog, negatives: int) -> None:
    """With the catalogue taken whole, and with products drawn at random."""
    visits = cut_visits(log, 1800)
    config = msgspec.structs.replace(NETWORK, negatives=negatives)
    trained = train_network(steps_of(visits, NETWORK_CLICKS), PRODUCTS, config, quiet)
    ahead = [
        int((trained.vectors @ trained.network.vector(trained.vectors[[p]])).argmax())
        for p in range(PRODUCTS)
    ]

    assert np.mean(ahead == (np.arange(PRODUCTS) + 1) % PRODUCTS) >= 0.9


def test_a_network_that_won_goes_on_from_the_validation(
    log: InteractionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.session_choice.FEWEST_NETWORK_STEPS", 100)
    monkeypatch.setattr("ml.session_choice.NETWORK_SHARES", (0.8,))
    monkeypatch.setattr("ml.session_choice.RULE_SHARES", (0.0,))
    plan = choose(log)
    network = extend_network(log, PRODUCTS, plan, NETWORK, quiet)
    sessions = fit_sessions(log, PRODUCTS, plan, network)

    assert plan.champion.network > 0
    scores = session_scores(sessions, visit_of(np.array([4], np.int32)), plan.champion, PRODUCTS)
    assert int(scores.argmax()) == 5


def assert_equal(first: Sessions, second: Sessions) -> None:
    for one, other in zip(first[:-1], second[:-1], strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
