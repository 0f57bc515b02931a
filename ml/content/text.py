"""Products as TF-IDF of their terms, and as few dimensions of it."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from ml.serving.product_text import ProductText, normalised, weighted_terms
from ml.serving.sparse_rows import SparseRows
from ml.serving.vocabulary import Vocabulary

DIM = 64
MOST_TERMS = 20_000
"""Of the projection, the most frequent ones: it travels with the release."""
RAREST = 2
"""Products that share a term; fewer say nothing about likeness."""


MOST_COMMON, MOST_COMMON_SHARE = 50, 0.02
"""A term of more products than either tells none of them apart."""


class TextSpace(NamedTuple):
    telling: sp.csr_matrix
    """(products, terms): TF-IDF of what few products have, float32, rows of length 1 or 0."""
    vectors: np.ndarray
    """(products, dim): of all terms, float32, rows of length 1 or 0."""
    vocabulary: Vocabulary
    """Of the terms in `telling`: reads later products as these were read."""


def product_texts(products: pa.Table) -> list[ProductText]:
    """products: columns of `ml.dataset.PRODUCTS`."""
    columns = (products[name].to_pylist() for name in ProductText._fields)
    return [ProductText(title or "", *rest) for title, *rest in zip(*columns, strict=True)]


def fit_text(texts: list[ProductText], seed: int = 17, dim: int = DIM) -> TextSpace:
    """TF-IDF (Salton & Buckley 1988) and its latent semantic analysis (Deerwester et al. 1990)."""
    counted, index = _counted(texts)
    frequency = np.bincount(counted.indices, minlength=len(index))
    rarity = (np.log((1 + len(texts)) / (1 + frequency)) + 1).astype(np.float32)
    counted.data *= rarity[counted.indices]
    tfidf = _unit_rows(counted)
    telling = _telling(tfidf)
    used = np.bincount(telling.indices, minlength=len(rarity)) > 0
    vocabulary = Vocabulary({term: row for term, row in index.items() if used[row]}, rarity)
    return TextSpace(telling, normalised(tfidf @ _project(tfidf, dim, seed)), vocabulary)


def sparse_rows(matrix: sp.csr_matrix) -> SparseRows:
    return SparseRows(
        starts=np.asarray(matrix.indptr, np.int64),
        column=np.asarray(matrix.indices, np.int32),
        weight=np.asarray(matrix.data, np.float32),
    )


def _counted(texts: list[ProductText]) -> tuple[sp.csr_matrix, dict[str, int]]:
    """Weights of the terms that at least RAREST products share, at most MOST_TERMS of them."""
    index: dict[str, int] = {}
    row: list[int] = []
    column: list[int] = []
    weight: list[float] = []
    for position, text in enumerate(texts):
        for term, value in weighted_terms(text).items():
            row.append(position)
            column.append(index.setdefault(term, len(index)))
            weight.append(value)
    columns = np.array(column, np.int64)
    frequency = np.bincount(columns, minlength=len(index))
    shared = np.flatnonzero(frequency >= RAREST)
    kept = np.sort(shared[np.argsort(-frequency[shared], kind="stable")[:MOST_TERMS]])
    place = np.full(len(index), -1)
    place[kept] = np.arange(len(kept))
    inside = place[columns] >= 0
    entries = (
        np.array(weight, np.float32)[inside],
        (np.array(row)[inside], place[columns][inside]),
    )
    counted = sp.csr_matrix(entries, (len(texts), len(kept)), dtype=np.float32)
    return counted, {t: int(place[k]) for t, k in index.items() if place[k] >= 0}


def _unit_rows(matrix: sp.csr_matrix) -> sp.csr_matrix:
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix.data /= np.repeat(np.maximum(lengths, 1e-9), np.diff(matrix.indptr)).astype(np.float32)
    return matrix


def _telling(tfidf: sp.csr_matrix) -> sp.csr_matrix:
    """Without what everything has: it says nothing and costs the square of its count."""
    n_items, n_terms = tfidf.get_shape()
    frequency = np.bincount(tfidf.indices, minlength=n_terms)
    most_common = max(MOST_COMMON, int(n_items * MOST_COMMON_SHARE))
    kept = sp.diags((frequency <= most_common).astype(np.float32))
    telling = sp.csr_matrix(tfidf @ kept, dtype=np.float32)
    telling.eliminate_zeros()
    return _unit_rows(telling)


def _project(tfidf: sp.csr_matrix, dim: int, seed: int) -> np.ndarray:
    """(terms, dim); narrow catalogues leave the last dimensions zero."""
    from sklearn.decomposition import TruncatedSVD

    products, terms = tfidf.get_shape()
    projection = np.zeros((terms, dim), np.float32)
    width = min(dim, products - 1, terms - 1)
    if width > 0 and tfidf.nnz:
        with np.errstate(invalid="ignore"):  # it divides by the variance, which may be nothing
            fitted = TruncatedSVD(width, n_iter=4, random_state=seed).fit(tfidf)
        projection[:, :width] = np.asarray(fitted.components_).T
    return projection
