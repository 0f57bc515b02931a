"""The strongest entries of the rows of a sparse matrix."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def strongest_columns(
    similar: sp.csr_matrix, most: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `most` largest positive entries of each row, largest first: two (rows, most).

    Short rows are padded with zeros. Equal entries are ordered by column.
    """
    n_rows = len(similar.indptr) - 1
    item = np.zeros((n_rows, most), np.int32)
    weight = np.zeros((n_rows, most), np.float32)
    for row, (start, end) in enumerate(zip(similar.indptr, similar.indptr[1:], strict=False)):
        values, columns = similar.data[start:end], similar.indices[start:end]
        if len(values) > most:
            top = np.argpartition(-values, most - 1)[:most]
            values, columns = values[top], columns[top]
        order = np.lexsort((columns, -values))
        order = order[: np.count_nonzero(values > 0)]
        item[row, : len(order)] = columns[order]
        weight[row, : len(order)] = values[order]
    return item, weight
