"""Which products are alike by what they say of themselves."""

import numpy as np
import scipy.sparse as sp

from ml.neighbours import strongest_columns
from ml.serving.tables import Neighbours

CONTENT_NEIGHBOURS = 50
ITEMS_AT_ONCE = 512


def content_neighbours(telling: sp.csr_matrix, most: int = CONTENT_NEIGHBOURS) -> Neighbours:
    """The `most` products alike by cosine.

    telling: (products, terms), rows of length 1 or 0.
    """
    n_items, _ = telling.get_shape()
    item = np.zeros((n_items, most), np.int32)
    weight = np.zeros((n_items, most), np.float32)
    transposed = telling.T.tocsr()
    for start in range(0, n_items, ITEMS_AT_ONCE):
        rows = slice(start, min(start + ITEMS_AT_ONCE, n_items))
        alike = (telling[rows] @ transposed).tocsr()
        row_of = np.repeat(np.arange(rows.start, rows.stop), np.diff(alike.indptr))
        alike.data[row_of == alike.indices] = 0
        item[rows], weight[rows] = strongest_columns(alike, most)
    return Neighbours(item, weight)
