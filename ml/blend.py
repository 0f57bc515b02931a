"""Weights of the blend, fitted to what a shop's shoppers chose."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from ml.ranking_set import Candidates, stack
from ml.serving.blend import SIMPLE, blended
from ml.serving.candidate_features import DENSE_FEATURES
from ml.serving.sources import SOURCES

PRIOR_GROUPS = 20.0
"""Shoppers' worth of evidence against which the weights move away from the prior."""
RANKS = [DENSE_FEATURES.index(f"{source} rank") for source in SOURCES]


class Lists(NamedTuple):
    """Candidates of all groups end to end."""

    ranks: NDArray[np.float64]
    """(n, sources)."""
    label: NDArray[np.float64]
    """(n,): the positives of a group share 1."""
    starts: NDArray[np.intp]
    """(groups,)."""
    lengths: NDArray[np.intp]


def blend_scores(candidates: Candidates, weights: Mapping[str, float]) -> NDArray[np.float32]:
    """What the engine computes: (n,)."""
    return blended(np.ascontiguousarray(candidates.dense[:, RANKS].T), weights)


def fit_blend(parts: list[Candidates], prior: Mapping[str, float]) -> dict[str, float]:
    """Weights that make the choices likeliest, none negative, held near `prior`.

    A conditional logit (McFadden 1974) over each group's candidates with a Gaussian prior. The
    prior itself where nobody chose anything.
    """
    before = np.array([prior.get(source, 0.0) for source in SOURCES])
    lists = _lists(stack(parts)) if parts else None
    if lists is None or not len(lists.starts):
        return dict(prior)
    found = scipy.optimize.minimize(
        _surprise,
        before,
        args=(lists, before),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None if source in SIMPLE else 0) for source in SOURCES],
    )
    return {source: round(float(w), 4) for source, w in zip(SOURCES, found.x, strict=True)}


def _lists(candidates: Candidates) -> Lists | None:
    """Of the groups with a positive among their candidates."""
    if not len(candidates.group):
        return None
    positives = np.bincount(candidates.group, candidates.label, len(candidates.relevant))
    rows = positives[candidates.group] > 0
    group = candidates.group[rows]
    if not len(group):
        return None
    starts = np.r_[0, np.flatnonzero(np.diff(group)) + 1]
    return Lists(
        ranks=candidates.dense[rows][:, RANKS].astype(np.float64),
        label=candidates.label[rows] / positives[group],
        starts=starts,
        lengths=np.diff(np.r_[starts, len(group)]),
    )


def _surprise(
    weights: NDArray[np.float64], lists: Lists, prior: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Negative log-likelihood of the choices and of the weights, and its gradient."""
    scores = -(lists.ranks @ weights)
    highest = np.repeat(np.maximum.reduceat(scores, lists.starts), lists.lengths)
    odds = np.exp(scores - highest)
    chance = odds / np.repeat(np.add.reduceat(odds, lists.starts), lists.lengths)
    surprise = -float(lists.label @ np.log(np.maximum(chance, 1e-30)))
    gradient = lists.ranks.T @ (lists.label - chance)
    away = weights - prior
    return (
        surprise + PRIOR_GROUPS * float(away @ away) / 2,
        gradient + PRIOR_GROUPS * away,
    )
