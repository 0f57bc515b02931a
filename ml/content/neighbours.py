"""Which products are alike by what they say of themselves."""

import numpy as np
import scipy.sparse as sp

from ml.neighbours import strongest_columns
from ml.serving.tables import Neighbours

CONTENT_NEIGHBOURS = 50
ITEMS_AT_ONCE = 512


def content_neighbours(tfidf: sp.csr_matrix, most: int = CONTENT_NEIGHBOURS) -> Neighbours:
    """The `most` products alike by cosine.

    tfidf: (products, terms), rows of length 1 as `ml.content.text.fit_text` gives them.
    """
    n_items, _ = tfidf.get_shape()
    item = np.zeros((n_items, most), np.int32)
    weight = np.zeros((n_items, most), np.float32)
    telling = _telling_terms(tfidf)
    transposed = telling.T.tocsr()
    for start in range(0, n_items, ITEMS_AT_ONCE):
        rows = slice(start, min(start + ITEMS_AT_ONCE, n_items))
        alike = (telling[rows] @ transposed).tocsr()
        row_of = np.repeat(np.arange(rows.start, rows.stop), np.diff(alike.indptr))
        alike.data[row_of == alike.indices] = 0
        item[rows], weight[rows] = strongest_columns(alike, most)
    return Neighbours(item, weight)


def _telling_terms(tfidf: sp.csr_matrix) -> sp.csr_matrix:
    """Without what everything has: it says nothing and costs the square of its count."""
    n_items, n_terms = tfidf.get_shape()
    most_common = max(50, n_items // 50)
    frequency = np.bincount(tfidf.indices, minlength=n_terms)
    return tfidf[:, np.flatnonzero(frequency <= most_common)].tocsr()
