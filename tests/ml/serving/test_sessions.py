"""The next product of a visit: scores worked out by hand, files not trusted, answers served."""

from collections.abc import Callable
from math import exp, log, sqrt
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from ml.release import MANIFEST, Manifest, ReleaseRejected, write_manifest
from ml.serving.engine import LoadedRelease, load_release, recommend
from ml.serving.neighbours import Neighbours
from ml.serving.request import EngineAnswer, EngineRequest, Interaction, Purchase
from ml.serving.session_tables import STAN, V_SKNN, Mix, Sessions
from ml.serving.sessions import current_visit, neighbour_scores, rule_scores, visit_of
from ml.serving.sessions_files import load_sessions, save_sessions
from ml.serving.shopper import shopper_of_request
from ml.session import Visits, learn_sessions
from ml.session_network import NetworkConfig, VisitEncoder, exported
from tests.ml.small_release import NOW_S, PRODUCTS, write_small_release

HALF_AND_HALF = Mix(rules=0.5, neighbours=0.5)


def sessions_of(*visits: list[int]) -> Sessions:
    start = np.r_[0, np.cumsum([len(visit) for visit in visits])]
    item = np.concatenate(visits).astype(np.int32)
    learned = learn_sessions(Visits(start, item, np.arange(len(item))), len(PRODUCTS))
    return learned._replace(
        serves=True, pause_s=1800.0, source=HALF_AND_HALF, champion=HALF_AND_HALF
    )


SESSIONS = sessions_of([3, 4, 5], [3, 4], [8, 9, 10], [9, 10, 11])


def seen(*items: int) -> NDArray[np.int32]:
    return np.array(items, np.int32)


def test_rules_of_the_last_product_count_most() -> None:
    rules = Neighbours(
        np.array([[1, 2], [2, 0], [0, 0]], np.int32), np.array([[4, 2], [3, 0], [0, 0]], np.float32)
    )
    scores = rule_scores(rules, visit_of(seen(1, 0)), 3)

    assert scores.tolist() == [0, 0.5 * 4, 3 + 0.5 * 2]


def test_votes_of_stan_fall_with_the_distance_from_the_last_shared_product() -> None:
    sessions = sessions_of([0, 1, 2, 3], [4, 2])._replace(settings=STAN._replace(rarity=0))
    scores = neighbour_scores(sessions, visit_of(seen(1, 0)), len(PRODUCTS))
    alike = (1 + exp(-1 / 3.5)) / sqrt(4)

    np.testing.assert_allclose(
        scores[:5], [alike * exp(-d / 1.5) for d in (1, 0, 1, 2)] + [0], rtol=1e-5
    )


def test_votes_of_v_sknn_count_position_and_rarity() -> None:
    sessions = sessions_of([0, 1, 2], [0, 3], [5, 6])._replace(settings=V_SKNN)
    scores = neighbour_scores(sessions, visit_of(seen(1, 0)), len(PRODUCTS))
    both, first_only = 1.0 + 0.5, 0.5 * 0.9  # the second visit shares only what is a step back

    assert scores[2] == pytest.approx(both * (1 + log(3)), rel=1e-5)
    assert scores[3] == pytest.approx(first_only * (1 + log(3)), rel=1e-5)
    assert scores[5] == 0


def test_only_the_newest_visits_are_asked() -> None:
    sessions = sessions_of([0, 1], [0, 2], [0, 3])._replace(settings=STAN._replace(sampled=2))
    one = sessions._replace(settings=STAN._replace(nearest=1))

    def voted_for(asked: Sessions) -> list[int]:
        return np.flatnonzero(neighbour_scores(asked, visit_of(seen(0)), len(PRODUCTS))).tolist()

    assert voted_for(sessions) == [0, 2, 3]
    assert voted_for(one) == [0, 3]


def interactions(*done: tuple[str, float, str]) -> list[Interaction]:
    return [
        Interaction(product_id=product_id, kind=kind, occurred_at_s=NOW_S - ago_s)
        for product_id, ago_s, kind in done
    ]


def test_the_current_visit_ends_at_the_last_pause() -> None:
    recent = interactions(
        ("p01", 60, "view"), ("p02", 120, "dismiss"), ("p03", 600, "view"), ("p04", 4000, "view")
    )
    index = {product_id: position for position, product_id in enumerate(PRODUCTS)}
    shopper = shopper_of_request(recent, [], 0, NOW_S, NOW_S, index)

    assert current_visit(shopper, 1800).clicks.tolist() == [1, 3]
    assert current_visit(shopper, 0).clicks.tolist() == [1, 3, 4]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> LoadedRelease:
    folder = write_small_release(tmp_path_factory.mktemp("releases"), sessions=SESSIONS)
    return load_release(folder)


def asked(
    release: LoadedRelease, *done: tuple[str, float, str], bought: tuple[str, ...] = ()
) -> EngineAnswer:
    owned = [
        Purchase(
            product_id=p, times=1, first_s=NOW_S - 864_000, last_s=NOW_S - 864_000, strength=1.0
        )
        for p in bought
    ]
    recent = interactions(*done)
    return recommend(release, EngineRequest(now_s=NOW_S, limit=12, recent=recent, bought=owned))


def test_an_anonymous_visit_is_answered_by_the_session_champion(release: LoadedRelease) -> None:
    answer = asked(release, ("p03", 60, "view"))
    by_id = {item.product_id: item for item in answer.items}

    assert answer.served_by == "session"
    assert not answer.calibrated
    assert {item.product_id for item in answer.items[:3]} == {"p03", "p04", "p05"}
    assert (by_id["p04"].reason, by_id["p04"].because_of) == ("because-you-viewed", "p03")


def test_what_is_trending_fills_the_rest_and_says_so(release: LoadedRelease) -> None:
    answer = asked(release, ("p03", 60, "view"))

    assert sorted(item.product_id for item in answer.items) == PRODUCTS
    assert answer.items[3].product_id == "p00"
    assert {(item.reason, item.because_of) for item in answer.items[3:]} == {("trending", None)}


def test_the_next_answer_follows_what_was_just_viewed(release: LoadedRelease) -> None:
    first = asked(release, ("p03", 60, "view"))
    second = asked(release, ("p09", 5, "view"), ("p03", 60, "view"))

    assert first.items[0].product_id in {"p03", "p04"}
    assert second.items[0].product_id == "p10"
    assert second.items[0].because_of == "p09"


def test_who_bought_or_came_before_is_answered_by_the_champion_of_shoppers(
    release: LoadedRelease,
) -> None:
    buyer = asked(release, ("p03", 60, "view"), bought=("p07",))
    returning = asked(release, ("p03", 60, "view"), ("p08", 90_000, "view"))

    assert (buyer.served_by, returning.served_by) == ("own-models", "own-models")


def test_a_visit_to_products_no_visit_knows_is_answered_as_before(release: LoadedRelease) -> None:
    assert asked(release, ("p00", 60, "view")).served_by == "own-models"


def test_without_a_champion_visits_are_answered_as_before(tmp_path: Path) -> None:
    sessions = SESSIONS._replace(serves=False)
    release = load_release(write_small_release(tmp_path, sessions=sessions))

    assert asked(release, ("p03", 60, "view")).served_by == "own-models"


def test_what_is_blocked_is_not_answered_to_a_visit(release: LoadedRelease) -> None:
    blocked = np.array([product_id == "p04" for product_id in PRODUCTS])
    request = EngineRequest(
        now_s=NOW_S, limit=3, recent=interactions(("p03", 60, "view")), blocked=blocked
    )

    assert "p04" not in [item.product_id for item in recommend(release, request).items]


def with_network() -> Sessions:
    config = NetworkConfig(dim=4)
    vectors = np.random.default_rng(1).normal(size=(len(PRODUCTS), 4)).astype(np.float32)
    trained = exported(vectors, VisitEncoder(config))
    return SESSIONS._replace(champion=Mix(network=1), vectors=vectors, network=trained)


def test_files_give_back_what_was_learned(tmp_path: Path) -> None:
    saved = with_network()
    save_sessions(saved, tmp_path)
    loaded = load_sessions(tmp_path, len(PRODUCTS))

    for one, other in zip(saved[:-2], loaded[:-2], strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert saved.network is not None
    assert loaded.network is not None
    visit = visit_of(seen(3, 4))
    np.testing.assert_array_equal(
        saved.network.vector(saved.vectors[visit.clicks]),
        loaded.network.vector(loaded.vectors[visit.clicks]),
    )


def set_at(name: str, place: int | tuple[int, int], value: float) -> Callable[[dict], None]:
    def change(arrays: dict[str, NDArray]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][place] = value

    return change


def cut_short(name: str) -> Callable[[dict], None]:
    def change(arrays: dict[str, NDArray]) -> None:
        arrays[name] = arrays[name][:-1]

    return change


HOSTILE = {
    "a product that does not exist": set_at("visit_item", 0, 99),
    "a negative product": set_at("visit_item", 0, -1),
    "a click that does not exist": set_at("item_click", 0, 10_000),
    "a click on another product": set_at("item_click", 0, 1),
    "visits that overlap": set_at("visit_start", 1, 7),
    "visits beyond the clicks": set_at("visit_start", -1, 10_000),
    "too few products": cut_short("item_start"),
    "too few clicks": cut_short("visit_item"),
    "a rule to nowhere": set_at("rules_item", (0, 0), 99),
    "a rule without end": set_at("rules_weight", (3, 0), np.inf),
    "a setting that is no number": set_at("numbers", 2, np.nan),
    "a negative weight": set_at("numbers", 2, -1),
    "endless work": set_at("numbers", 10, 1e9),
    "a setting too few": cut_short("numbers"),
    "a vector that is no number": set_at("vectors", (0, 0), np.nan),
    "vectors of other products": cut_short("vectors"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_sessions_that_do_not_fit_together_are_refused(
    change: Callable[[dict], None], tmp_path: Path
) -> None:
    folder = write_small_release(tmp_path, sessions=with_network())
    with np.load(folder / "sessions.npz") as arrays:
        changed = dict(arrays)
    change(changed)
    np.savez(folder / "sessions.npz", **changed)
    sign(folder)
    with pytest.raises(ReleaseRejected, match="sessions"):
        load_release(folder)


def test_a_session_network_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = write_small_release(tmp_path, sessions=with_network())
    (folder / "session_model.onnx").write_bytes(b"not a network")
    sign(folder)
    with pytest.raises(ReleaseRejected, match=r"session_model\.onnx"):
        load_release(folder)


def sign(folder: Path) -> None:
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    write_manifest(folder, manifest)
