"""Products that nobody has tried yet: scored by their words and by what is known of their like."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.release import NewcomerModel
from ml.serving.shopper import Shopper
from ml.serving.sources import SOURCES
from ml.serving.sparse_rows import SparseRows
from ml.serving.tables import MONTH, SEASON, Tables, attraction

FEATURES = ("own words", "trend of its like", "taste for its like")
LENDERS = 30
"""Alike products that were tried; what is known of them is lent to the newcomer."""
LENDING_POWER = 2.0
"""The closest lend most."""
LENDING_SHRINK = 0.1
"""A product that is like nothing borrows little."""
EASE = SOURCES.index("ease")


NO_WORDS = SparseRows(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


class Newcomers(NamedTuple):
    """What is known of untried products whoever asks."""

    position: NDArray[np.int64]
    """(newcomers,), ascending."""
    lender: NDArray[np.integer]
    """(newcomers, K), positions of tried products."""
    share: NDArray[np.float32]
    """(newcomers, K): how much each lends, at most 1 together."""
    trend: NDArray[np.float32]
    """(newcomers,): logarithm of their like's month."""
    words: SparseRows
    """(newcomers, terms)."""
    n_terms: int
    untried: NDArray[np.bool_]
    """(items,)."""


def newcomers_of(tables: Tables, untried: NDArray[np.bool_]) -> Newcomers | None:
    """None where there are none, or the release has no words. untried: (items,)."""
    position = np.flatnonzero(untried)
    if tables.words is None or not position.size:
        return None
    lender = tables.content.item[position]
    alike = np.where(untried[lender], 0, tables.content.weight[position])
    if alike.shape[1] > LENDERS:
        least = -np.partition(-alike, LENDERS - 1, axis=1)[:, LENDERS - 1 : LENDERS]
        alike = np.where(alike >= least, alike, 0)
    strength = alike**LENDING_POWER
    share = strength / (strength.sum(axis=1, keepdims=True) + LENDING_SHRINK)
    month = np.log1p(tables.trends[:, MONTH])
    return Newcomers(
        position=position,
        lender=lender,
        share=share.astype(np.float32),
        trend=(share * month[lender]).sum(axis=1).astype(np.float32),
        words=rows_of(tables.words, position),
        n_terms=int(tables.words.column.max(initial=-1)) + 1,
        untried=untried,
    )


def newcomer_features(
    tables: Tables, newcomers: Newcomers, shopper: Shopper, ease: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(newcomers, len(FEATURES)). ease: (items,), the shopper's scores in that source."""
    strongest = max(float(ease.max(initial=0)), 1e-9)
    taste = (newcomers.share * np.maximum(ease, 0)[newcomers.lender]).sum(axis=1) / strongest
    liked = profile_words(tables, shopper, newcomers)
    own = dots(newcomers.words, liked)
    return np.stack([own, newcomers.trend, taste], axis=1).astype(np.float32)


def newcomer_chances(model: NewcomerModel, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(newcomers,): probability that the shopper chooses each."""
    standardised = (features - np.array(model.mean)) / np.array(model.deviation)
    logits = standardised @ np.array(model.weights) + model.bias
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def best_newcomers(
    tables: Tables,
    newcomers: Newcomers | None,
    model: NewcomerModel | None,
    shopper: Shopper,
    ease: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    limit: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions, ascending, and chances of the `limit` likeliest that are allowed."""
    if newcomers is None or model is None or not allowed[newcomers.position].any():
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    chances = newcomer_chances(model, newcomer_features(tables, newcomers, shopper, ease))
    open_to_choice = np.flatnonzero(allowed[newcomers.position])
    likeliest = np.argsort(-chances[open_to_choice], kind="stable")[:limit]
    kept = np.sort(open_to_choice[likeliest])
    return newcomers.position[kept], chances[kept]


def profile_words(tables: Tables, shopper: Shopper, newcomers: Newcomers) -> NDArray[np.float32]:
    """(terms,), length 1 or 0: words of all the shopper chose, what few choose counting more."""
    weights = attraction(tables, shopper.kinds)
    viewed = np.bincount(shopper.items, weights, len(tables.product_ids))
    viewed[shopper.bought] = np.maximum(viewed[shopper.bought], shopper.bought_times)
    viewed[newcomers.untried] = 0
    position = np.flatnonzero(viewed)
    weight = np.log1p(viewed[position]) / np.sqrt(1 + tables.trends[position, SEASON])
    rows = rows_of(tables.words or NO_WORDS, position)
    weight_of = np.repeat(weight, np.diff(rows.starts)) * rows.weight
    summed = np.bincount(rows.column, weight_of, newcomers.n_terms).astype(np.float32)
    return summed / max(float(np.linalg.norm(summed)), 1e-9)


def rows_of(matrix: SparseRows, position: NDArray[np.int64]) -> SparseRows:
    """Some rows, in the order of `position`."""
    lengths = matrix.starts[position + 1] - matrix.starts[position]
    starts = np.r_[0, np.cumsum(lengths)]
    entry = np.arange(starts[-1]) + np.repeat(matrix.starts[position] - starts[:-1], lengths)
    return SparseRows(starts, matrix.column[entry], matrix.weight[entry])


def dots(matrix: SparseRows, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows,): each row times a vector of the terms."""
    products = matrix.weight * vector[matrix.column]
    row = np.repeat(np.arange(len(matrix.starts) - 1), np.diff(matrix.starts))
    return np.bincount(row, products, len(matrix.starts) - 1).astype(np.float32)
