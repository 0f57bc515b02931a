"""Classical recommenders: the peers that own models must beat, and candidate sources of a release.

Each `fit_*` learns from a log and returns a function from positions of shoppers, (rows,), to
scores of every product, (rows, items), higher is better. Products already bought are not removed.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

from ml.interactions import InteractionLog
from ml.neighbours import strongest_columns
from ml.serving.tables import Neighbours

DAY_S = 86_400
TRENDING_HALF_LIFE_DAYS = 7.0
PROFILE_HALF_LIFE_DAYS = 30.0
COSINE_SHRINK = 10.0
EASE_PENALTY = 500.0
EASE_MOST_ITEMS = 6_000
LONGEST_BASKET = 2_000
"""Distinct products of one shopper that co-occurrence counts: its cost grows with the square."""
NEIGHBOURS = 100
ITEMS_AT_ONCE = 512

ScoreRows = Callable[[NDArray[np.integer]], NDArray[np.float32]]


def fit_popularity(log: InteractionLog, n_shoppers: int, n_items: int, now_s: int) -> ScoreRows:
    """By number of shoppers."""
    del now_s
    return _same_for_all(np.asarray(_liked(log, n_shoppers, n_items).sum(axis=0)).ravel())


def fit_trending(
    log: InteractionLog,
    n_shoppers: int,
    n_items: int,
    now_s: int,
    half_life_days: float = TRENDING_HALF_LIFE_DAYS,
) -> ScoreRows:
    """By events, each counting half after every `half_life_days`."""
    del n_shoppers
    weight = np.maximum(log.weight, 0) * _decay(log, now_s, half_life_days)
    return _same_for_all(np.bincount(log.item, weight, n_items))


def _same_for_all(scores: NDArray[np.number]) -> ScoreRows:
    row = scores.astype(np.float32)
    return lambda rows: np.broadcast_to(row, (len(rows), len(row)))


def fit_item_knn(log: InteractionLog, n_shoppers: int, n_items: int, now_s: int) -> ScoreRows:
    """Cosine neighbours of what the shopper did, recent things counting more.

    Sarwar et al. 2001 (WWW), shrunk towards zero for rare products.
    """
    neighbours = _matrix(knn_neighbours(log, n_shoppers, n_items), n_items)
    profiles = _profiles(log, n_shoppers, n_items, now_s)
    return lambda rows: (profiles[rows] @ neighbours).toarray()


def fit_ease(
    log: InteractionLog,
    n_shoppers: int,
    n_items: int,
    now_s: int,
    most_items: int = EASE_MOST_ITEMS,
) -> ScoreRows:
    """EASE^R (Steck 2019, WWW) over the `most_items` products that are most popular of late."""
    kept, weights = _ease_weights(log, n_shoppers, n_items, now_s, most_items)
    profiles = _profiles(log, n_shoppers, n_items, now_s)[:, kept]

    def score(rows: NDArray[np.integer]) -> NDArray[np.float32]:
        scores = np.full((len(rows), n_items), np.finfo(np.float32).min, np.float32)
        scores[:, kept] = profiles[rows] @ weights
        return scores

    return score


def fit_ials(
    log: InteractionLog,
    n_shoppers: int,
    n_items: int,
    now_s: int,
    factors: int = 64,
    seed: int = 17,
) -> ScoreRows:
    """Implicit alternating least squares (Hu et al. 2008, ICDM)."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    del now_s
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=1.0,
            alpha=1.0,
            iterations=15,
            num_threads=1,
            random_state=seed,
        )
        model.fit(_liked(log, n_shoppers, n_items), show_progress=False)
    shoppers, items = np.asarray(model.user_factors), np.asarray(model.item_factors)
    return lambda rows: shoppers[rows] @ items.T


BASELINES: dict[str, Callable[[InteractionLog, int, int, int], ScoreRows]] = {
    "popularity": fit_popularity,
    "trending": fit_trending,
    "item-knn": fit_item_knn,
    "ease": fit_ease,
    "ials": fit_ials,
}


def knn_neighbours(
    log: InteractionLog, n_shoppers: int, n_items: int, most: int = NEIGHBOURS
) -> Neighbours:
    """The `most` products with the highest shrunk cosine of shoppers in common.

    The (items, items) product is made and cut ITEMS_AT_ONCE rows at a time, so memory stays flat.
    """
    liked = _shortened(_liked(log, n_shoppers, n_items))
    transposed = liked.T.tocsr()
    norms = np.sqrt(np.asarray(liked.sum(axis=0)).ravel())
    item = np.zeros((n_items, most), np.int32)
    weight = np.zeros((n_items, most), np.float32)
    for start in range(0, n_items, ITEMS_AT_ONCE):
        rows = slice(start, min(start + ITEMS_AT_ONCE, n_items))
        common = (transposed[rows] @ liked).tocsr()
        row_of = np.repeat(np.arange(rows.start, rows.stop), np.diff(common.indptr))
        common.data /= norms[row_of] * norms[common.indices] + COSINE_SHRINK
        common.data[row_of == common.indices] = 0
        item[rows], weight[rows] = strongest_columns(common, most)
    return Neighbours(item, weight)


def ease_neighbours(
    log: InteractionLog,
    n_shoppers: int,
    n_items: int,
    now_s: int,
    most: int = NEIGHBOURS,
    most_items: int = EASE_MOST_ITEMS,
) -> Neighbours:
    """The `most` products each product speaks for most by EASE^R; none outside `most_items`."""
    kept, weights = _ease_weights(log, n_shoppers, n_items, now_s, most_items)
    item = np.zeros((n_items, most), np.int32)
    weight = np.zeros((n_items, most), np.float32)
    width = min(most, len(kept))
    for start in range(0, len(kept), ITEMS_AT_ONCE):
        block = weights[start : start + ITEMS_AT_ONCE]
        best, strength = _best_columns(block, width)
        rows = kept[start : start + ITEMS_AT_ONCE]
        item[rows, :width] = np.where(strength > 0, kept[best], 0)
        weight[rows, :width] = np.maximum(strength, 0)
    return Neighbours(item, weight)


def _liked(log: InteractionLog, n_shoppers: int, n_items: int) -> sp.csr_matrix:
    """(shoppers, items): the strongest event of each pair; pairs that end in dislike are left out.

    A purchase that was sent back is no purchase, and three purchases make one.
    """
    shape = (n_shoppers, n_items)
    total = sp.csr_matrix((log.weight, (log.shopper, log.item)), shape, dtype=np.float32)
    total.sum_duplicates()
    total.data = np.clip(total.data, 0, 1)
    total.eliminate_zeros()
    return total


def _profiles(log: InteractionLog, n_shoppers: int, n_items: int, now_s: int) -> sp.csr_matrix:
    """(shoppers, items): events counting half after every PROFILE_HALF_LIFE_DAYS."""
    weight = np.maximum(log.weight, 0) * _decay(log, now_s, PROFILE_HALF_LIFE_DAYS)
    shape = (n_shoppers, n_items)
    return sp.csr_matrix((weight, (log.shopper, log.item)), shape, dtype=np.float32)


def _decay(log: InteractionLog, now_s: int, half_life_days: float) -> NDArray[np.float64]:
    return 0.5 ** ((now_s - log.ts) / DAY_S / half_life_days)


def _shortened(liked: sp.csr_matrix) -> sp.csr_matrix:
    """At most LONGEST_BASKET products per shopper, the rarest: the others say least together."""
    lengths = np.diff(liked.indptr)
    if not (lengths > LONGEST_BASKET).any():
        return liked
    shopper = np.repeat(np.arange(len(lengths)), lengths)
    count = np.bincount(liked.indices)[liked.indices]
    order = np.lexsort((count, shopper))
    place = np.arange(len(order)) - np.repeat(liked.indptr[:-1], lengths)
    kept = order[place < LONGEST_BASKET]
    return sp.csr_matrix((liked.data[kept], (shopper[kept], liked.indices[kept])), liked.shape)


def _best_columns(
    block: NDArray[np.float32], width: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Columns of the `width` largest of each row, largest first, and their values."""
    top = np.argpartition(-block, width - 1, axis=1)[:, :width]
    order = np.argsort(-np.take_along_axis(block, top, 1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, 1)
    return top, np.take_along_axis(block, top, 1)


def _matrix(neighbours: Neighbours, n_items: int) -> sp.csr_matrix:
    row = np.repeat(np.arange(n_items), neighbours.item.shape[1])
    entries = (neighbours.weight.ravel(), (row, neighbours.item.ravel()))
    matrix = sp.csr_matrix(entries, (n_items, n_items))
    matrix.eliminate_zeros()
    return matrix


def _ease_weights(
    log: InteractionLog, n_shoppers: int, n_items: int, now_s: int, most_items: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Positions of the kept products (kept,), ascending, and item weights B (kept, kept)."""
    liked = _liked(log, n_shoppers, n_items)
    recent = np.bincount(log.item, np.maximum(log.weight, 0) * _decay(log, now_s, 120.0), n_items)
    alive = np.flatnonzero(np.diff(liked.tocsc().indptr))
    strongest = alive[np.argsort(-recent[alive], kind="stable")[:most_items]]
    kept = np.sort(strongest)
    inverse = _inverse_gram(liked[:, kept].tocsr(), len(kept))
    diagonal = np.diagonal(inverse).copy()
    inverse /= -diagonal
    np.fill_diagonal(inverse, 0)
    return kept, inverse


def _inverse_gram(liked: sp.csr_matrix, n_items: int) -> NDArray[np.float32]:
    """Inverse of X'X + penalty, (items, items), in the memory of one such matrix."""
    gram = np.zeros((n_items, n_items), np.float32, order="F")
    transposed = liked.T.tocsr()
    for start in range(0, n_items, ITEMS_AT_ONCE):
        rows = transposed[start : start + ITEMS_AT_ONCE]
        gram[:, start : start + ITEMS_AT_ONCE] = (rows @ liked).toarray().T
    gram[np.diag_indices(n_items)] += EASE_PENALTY
    factorise, invert = get_lapack_funcs(("potrf", "potri"), (gram,))
    gram, failed = factorise(gram, lower=1, clean=0, overwrite_a=1)
    if not failed:
        gram, failed = invert(gram, lower=1, overwrite_c=1)
    if failed:
        raise np.linalg.LinAlgError(f"the co-occurrence matrix is not positive: {failed}")
    for start in range(0, n_items, ITEMS_AT_ONCE):  # only the lower triangle was written
        end = start + ITEMS_AT_ONCE
        square = gram[start:end, start:end]
        square[:] = np.tril(square) + np.tril(square, -1).T
        gram[start:end, end:] = gram[end:, start:end].T
    return gram
