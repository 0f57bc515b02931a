"""How good a ranking or a probability is: the formulas, each in one place."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LIST_LENGTH = 20


class Lift(NamedTuple):
    """Relative: 0.31 is 31 % better."""

    mean: float
    low: float
    high: float
    """`low` to `high`: 95 % interval."""
    wins: float
    """Share of bootstrap samples with a positive lift."""


def ndcg_at_k(hits: NDArray[np.bool_], relevant: NDArray[np.int64]) -> NDArray[np.float64]:
    """Binary NDCG of each list: (lists,).

    hits: (lists, k), best place first. relevant: (lists,), how many products there were to find,
    at least 1; the ideal list holds min(relevant, k) of them.
    """
    discount = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(discount)[np.minimum(relevant, hits.shape[1]) - 1]
    return (hits * discount).sum(axis=1) / ideal


def recall_at_k(hits: NDArray[np.bool_], relevant: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the `relevant` products of each list that are on it: (lists,)."""
    return hits.sum(axis=1) / relevant


def reciprocal_rank_at_k(hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One over the place of the first hit, 0 without one: (lists,)."""
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)


def hit_at_k(hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    return hits.any(axis=1).astype(np.float64)


def coverage(shown: NDArray[np.integer], n_items: int) -> float:
    """Share of the catalogue that is on any list. shown: positions, any shape."""
    return len(np.unique(shown)) / n_items


def gini(shown: NDArray[np.integer], n_items: int) -> float:
    """Inequality of exposure: 0 when every product is shown equally often, towards 1 when one is.

    shown: positions, any shape, at least one.
    """
    counts = np.sort(np.bincount(np.ravel(shown), minlength=n_items))
    rank = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(rank @ counts / (n_items * counts.sum()))


def auc(label: NDArray[np.floating], score: NDArray[np.floating]) -> float:
    """Chance that a positive scores above a negative, ties counting half; NaN for one class."""
    positive = label > 0.5
    n_positive = int(positive.sum())
    n_negative = len(label) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    ranks = _mean_ranks(score)
    above = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def _mean_ranks(score: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks from 1, the equal ones sharing their mean: (n,)."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def grouped_auc(
    label: NDArray[np.floating], score: NDArray[np.floating], group: NDArray[np.integer]
) -> float:
    """Mean AUC inside the groups that hold both classes; NaN without such a group.

    group: (n,), sorted ascending.
    """
    bounds = np.flatnonzero(np.diff(group)) + 1
    inside = [
        auc(labels, scores)
        for labels, scores in zip(np.split(label, bounds), np.split(score, bounds), strict=True)
    ]
    known = [value for value in inside if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def grouped_ndcg(
    label: NDArray[np.floating],
    score: NDArray[np.floating],
    group: NDArray[np.integer],
    k: int = LIST_LENGTH,
) -> float:
    """Mean NDCG@k of the groups that hold a positive; equal scores keep their order.

    group: (n,), sorted ascending.
    """
    order = np.lexsort((-score, group))
    starts = np.r_[0, np.flatnonzero(np.diff(group)) + 1]
    lengths = np.diff(np.r_[starts, len(group)])
    place = np.arange(len(group)) - np.repeat(starts, lengths)
    discount = np.where(place < k, 1 / np.log2(place + 2), 0.0)
    positives = np.add.reduceat(label, starts).round().astype(np.int64)
    gained = np.add.reduceat(label[order] * discount, starts)
    ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    wanted = positives > 0
    return float(np.mean(gained[wanted] / ideal[np.minimum(positives[wanted], k) - 1]))


def log_loss(label: NDArray[np.floating], probability: NDArray[np.floating]) -> float:
    """Mean negative log-likelihood in nats; probabilities are clipped to [1e-7, 1 - 1e-7]."""
    clipped = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(label > 0.5, np.log(clipped), np.log(1 - clipped))))


def calibration_error(
    label: NDArray[np.floating], probability: NDArray[np.floating], bins: int = 20
) -> float:
    """Expected calibration error over bins of equally many rows (Naeini et al. 2015, AAAI).

    Bins of equal width would put nearly all of a ranker's small probabilities into one.
    """
    order = np.argsort(probability, kind="stable")
    parts = zip(
        np.array_split(label[order], bins), np.array_split(probability[order], bins), strict=True
    )
    gaps = [abs(float(y.sum()) - float(p.sum())) for y, p in parts if len(y)]
    return sum(gaps) / len(label)


def bootstrap_lift(
    ours: NDArray[np.floating], theirs: NDArray[np.floating], samples: int = 1000, seed: int = 0
) -> Lift:
    """Lift of the mean of `ours` over `theirs`, by paired bootstrap (Efron & Tibshirani 1993).

    Both (shoppers,), the same shoppers in the same order. No lift where `theirs` is 0 throughout.
    """
    if not theirs.mean():
        return Lift(0.0, 0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    lifts = np.empty(samples)
    for sample in range(samples):
        rows = rng.integers(0, len(ours), len(ours))
        lifts[sample] = ours[rows].mean() / max(theirs[rows].mean(), 1e-12) - 1
    low, high = np.percentile(lifts, [2.5, 97.5])
    mean = ours.mean() / max(theirs.mean(), 1e-12) - 1
    return Lift(float(mean), float(low), float(high), float((lifts > 0).mean()))
