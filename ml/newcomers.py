"""Learn how untried products are chosen, from tried ones whose past is withheld."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.ranking_set import Truth
from ml.release import NewcomerModel
from ml.serving.newcomers import FEATURES, Newcomers, newcomer_features, newcomers_of
from ml.serving.shopper import ShopperBook
from ml.serving.sources import profile, spread
from ml.serving.tables import Tables

WITHHELD = 0.1
"""Share of the tried products that are looked at as if they were new."""
USUAL_WEIGHTS = (0.7, 0.35, 0.35)
"""Of FEATURES, standardised."""
CAUTION = 300.0
"""So many shoppers, and the shop's own weights count as much as the usual ones."""
NEGATIVES = 200
"""Per shopper."""
ROUNDS = 25
STEADY = 1e-3
LARGEST = 30.0
"""A logit beyond which nothing changes."""


class Pairs(NamedTuple):
    """Shoppers with products that are new to them and looked at as new to all."""

    features: NDArray[np.float64]
    """(pairs, len(FEATURES))."""
    chosen: NDArray[np.bool_]
    """(pairs,)."""
    weight: NDArray[np.float64]
    """(pairs,): how many a drawn one stands for."""
    shopper: NDArray[np.int64]
    """(pairs,)."""


def fit_newcomers(
    tables: Tables, book: ShopperBook, market: NDArray[np.int16], truth: Truth, seed: int
) -> NewcomerModel | None:
    """Learn from FEATURES of what was chosen after `tables.cut_s`.

    None where there is nothing to learn from.
    """
    rng = np.random.default_rng(seed)
    untried = tables.first_seen_s >= tables.cut_s
    untried |= rng.random(len(untried)) < WITHHELD
    newcomers = newcomers_of(tables, untried)
    if newcomers is None or not len(truth.shoppers):
        return None
    pairs = _pairs(tables, newcomers, book, market, truth, rng)
    if not pairs.chosen.any():
        return None
    mean = np.average(pairs.features, axis=0, weights=pairs.weight)
    deviation = np.maximum(pairs.features.std(axis=0), STEADY)
    pairs = pairs._replace(features=(pairs.features - mean) / deviation)
    weights = fit_choice(pairs)
    return NewcomerModel(
        mean=mean.tolist(),
        deviation=deviation.tolist(),
        weights=weights.tolist(),
        bias=fit_bias(pairs, weights),
    )


def _pairs(
    tables: Tables,
    newcomers: Newcomers,
    book: ShopperBook,
    market: NDArray[np.int16],
    truth: Truth,
    rng: np.random.Generator,
) -> Pairs:
    """All that was chosen, and at most NEGATIVES others of each shopper."""
    n = len(tables.product_ids)
    parts = [Pairs(np.zeros((0, len(FEATURES))), np.zeros(0, bool), np.zeros(0), np.zeros(0, int))]
    for position, items in zip(truth.shoppers, truth.items, strict=True):
        shopper = book.shopper(int(position), int(market[position]))
        known = np.concatenate([shopper.bought, shopper.items])
        fresh = np.flatnonzero(~np.isin(newcomers.position, known))
        chosen = np.isin(newcomers.position[fresh], items)
        others = np.flatnonzero(~chosen)
        drawn = rng.permutation(others)[:NEGATIVES]
        rows = np.concatenate([np.flatnonzero(chosen), drawn])
        ease = spread(tables.ease, profile(tables, shopper), n)
        features = newcomer_features(tables, newcomers, shopper, ease)[fresh[rows]]
        weight = np.where(chosen[rows], 1.0, len(others) / max(len(drawn), 1))
        of = np.full(len(rows), int(position))
        parts.append(Pairs(features.astype(np.float64), chosen[rows], weight, of))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def fit_choice(pairs: Pairs) -> NDArray[np.float64]:
    """Weights of the standardised features by conditional logit (McFadden 1974), Newton's method.

    Each shopper counts once however much they chose, and is compared with nobody else. A Gaussian
    prior of strength CAUTION holds the weights near USUAL_WEIGHTS.
    """
    X, chosen = pairs.features, pairs.chosen
    shopper = np.unique(pairs.shopper[chosen], return_inverse=True)[1]
    one_each = 1 / np.bincount(shopper)[shopper]
    wanted = (X[chosen] * one_each[:, None]).sum(axis=0)
    known = np.isin(pairs.shopper, pairs.shopper[chosen])
    X, weight = X[known], pairs.weight[known]
    group = np.unique(pairs.shopper[known], return_inverse=True)[1]
    found = np.array(USUAL_WEIGHTS)
    for _ in range(ROUNDS):
        strength = weight * np.exp(np.clip(X @ found, -LARGEST, LARGEST))
        share = strength / np.bincount(group, strength)[group]
        means = np.stack([np.bincount(group, share * column) for column in X.T], axis=1)
        gradient = means.sum(axis=0) - wanted + CAUTION * (found - USUAL_WEIGHTS)
        curve = (X * share[:, None]).T @ X - means.T @ means + CAUTION * np.eye(len(found))
        step = np.linalg.solve(curve, gradient)
        found -= step / max(1.0, float(np.abs(step).max()))
    return found


def fit_bias(pairs: Pairs, weights: NDArray[np.float64]) -> float:
    """So that as much is expected as was chosen."""
    logits = pairs.features @ weights
    share = np.average(pairs.chosen, weights=pairs.weight)
    low, high = -LARGEST, LARGEST
    for _ in range(50):
        middle = (low + high) / 2
        expected = np.average(1 / (1 + np.exp(-logits - middle)), weights=pairs.weight)
        low, high = (middle, high) if expected < share else (low, middle)
    return (low + high) / 2
