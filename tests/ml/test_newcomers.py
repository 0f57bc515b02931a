"""Products that nobody has tried: scored by their words and by what is known of their like."""

from typing import NamedTuple

import numpy as np
import pytest

from ml import statistics
from ml.content.neighbours import content_neighbours
from ml.content.text import fit_text, product_texts, sparse_rows
from ml.interactions import KIND_INDEX
from ml.newcomers import CAUTION, USUAL_WEIGHTS, Pairs, fit_choice, fit_newcomers
from ml.ranking_set import later_choices
from ml.release import NewcomerModel
from ml.retrieval import TowerConfig
from ml.retriever import Catalogue, fit_retriever
from ml.serving.newcomers import (
    best_newcomers,
    newcomer_chances,
    newcomer_features,
    newcomers_of,
)
from ml.serving.shopper import ShopperBook
from ml.serving.sources import profile, spread
from ml.serving.tables import Tables
from ml.shop import Shop
from tests.ml.toy_shop import DAY_S, PRODUCTS_EACH, START_S, TASTES, toy_shop

UNTRIED = np.arange(0, TASTES * PRODUCTS_EACH, PRODUCTS_EACH)
"""One product of each taste has no past."""
CUT_S = START_S + 90 * DAY_S


class Known(NamedTuple):
    shop: Shop
    """With the whole past."""
    tables: Tables
    book: ShopperBook


@pytest.fixture(scope="module")
def known() -> Known:
    shop = toy_shop()
    before = shop.log.before(CUT_S)
    log = before.rows(~np.isin(before.item, UNTRIED))
    text = fit_text(product_texts(shop.products))
    catalogue = Catalogue(
        codes=statistics.catalogue_codes(shop.products),
        log_price=statistics.log_prices(shop.products),
        content=content_neighbours(text.telling),
        words=sparse_rows(text.telling),
        vocabulary=text.vocabulary,
        features=None,
    )
    retriever = fit_retriever(
        shop._replace(log=log), catalogue, CUT_S, TowerConfig(), None, _silent, (0.0, 1.0)
    )
    return Known(shop, retriever.tables, ShopperBook(log, shop.traits.of_shopper, CUT_S))


def _silent(stage: str, fraction: float, figures: dict[str, float]) -> None:
    pass


def untried_of(tables: Tables) -> np.ndarray:
    return tables.first_seen_s >= tables.cut_s


def features_of(known: Known, position: int) -> np.ndarray:
    newcomers = newcomers_of(known.tables, untried_of(known.tables))
    assert newcomers is not None
    shopper = known.book.shopper(position, 0)
    ease = spread(known.tables.ease, profile(known.tables, shopper), len(known.tables.product_ids))
    return newcomer_features(known.tables, newcomers, shopper, ease)


def test_products_without_any_event_are_the_newcomers(known: Known) -> None:
    newcomers = newcomers_of(known.tables, untried_of(known.tables))

    assert newcomers is not None
    assert newcomers.position.tolist() == UNTRIED.tolist()
    assert not np.isin(newcomers.lender[newcomers.share > 0], UNTRIED).any()
    assert (newcomers.share.sum(axis=1) <= 1).all()


def test_a_shopper_is_offered_the_newcomer_of_their_own_taste(known: Known) -> None:
    tastes = np.array([features_of(known, p)[:, [0, 2]].sum(axis=1).argmax() for p in range(60)])

    assert (tastes == np.arange(60) % TASTES).mean() > 0.9


def test_the_fit_learns_that_own_taste_matters(known: Known) -> None:
    end_s = START_S + 120 * DAY_S
    everybody = np.ones(len(known.shop.shopper_ids), bool)
    truth = later_choices(known.shop.log, CUT_S, end_s, KIND_INDEX["purchase"], everybody)

    model = fit_newcomers(known.tables, known.book, known.shop.shopper_market, truth, seed=17)

    assert model is not None
    chances = np.array([newcomer_chances(model, features_of(known, p)) for p in range(60)])
    assert (chances.argmax(axis=1) == np.arange(60) % TASTES).mean() > 0.9
    chosen = [np.isin(UNTRIED, items).mean() for items in truth.items]
    assert chances.mean() == pytest.approx(np.mean(chosen), rel=0.5)


def test_nothing_is_learned_where_nobody_chose(known: Known) -> None:
    everybody = np.ones(len(known.shop.shopper_ids), bool)
    nothing = later_choices(known.shop.log, CUT_S, CUT_S, KIND_INDEX["purchase"], everybody)

    assert fit_newcomers(known.tables, known.book, known.shop.shopper_market, nothing, 17) is None


def test_only_allowed_newcomers_are_offered_the_likeliest_first(known: Known) -> None:
    model = NewcomerModel(mean=[0.0] * 3, deviation=[1.0] * 3, weights=[3.0, 0.1, 3.0], bias=-3.0)
    newcomers = newcomers_of(known.tables, untried_of(known.tables))
    shopper = known.book.shopper(0, 0)
    ease = spread(known.tables.ease, profile(known.tables, shopper), len(known.tables.product_ids))
    allowed = np.ones(len(known.tables.product_ids), bool)
    first, _ = best_newcomers(known.tables, newcomers, model, shopper, ease, allowed, 1)
    allowed[UNTRIED[0]] = False
    others, chances = best_newcomers(known.tables, newcomers, model, shopper, ease, allowed, 99)

    assert first.tolist() == [UNTRIED[0]]
    assert others.tolist() == UNTRIED[1:].tolist()
    assert ((chances > 0) & (chances < 1)).all()


def test_few_shoppers_leave_the_usual_weights_and_many_replace_them() -> None:
    rng = np.random.default_rng(5)
    shoppers, each = 20_000, 20
    rows = rng.standard_normal((shoppers, each, 3))
    true = np.array([-1.0, 1.5, 0.0])
    chosen = (rows @ true + rng.gumbel(size=(shoppers, each))).argmax(axis=1)
    pairs = Pairs(
        rows.reshape(-1, 3),
        (np.arange(each) == chosen[:, None]).ravel(),
        np.ones(shoppers * each),
        np.repeat(np.arange(shoppers), each),
    )
    few = fit_choice(Pairs(*(column[: 2 * each] for column in pairs)))

    assert few == pytest.approx(USUAL_WEIGHTS, abs=10 / CAUTION)
    assert fit_choice(pairs) == pytest.approx(true, abs=0.1)


def test_an_old_release_without_words_has_no_newcomers(known: Known) -> None:
    assert newcomers_of(known.tables._replace(words=None), untried_of(known.tables)) is None
