"""The words that tell a shop's products apart, so that later ones can be read as they were."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.serving.product_text import ProductText, weighted_terms
from ml.serving.sparse_rows import SparseRows


class Vocabulary(NamedTuple):
    column: dict[str, int]
    """Term → column of `Tables.words`."""
    rarity: NDArray[np.float32]
    """(terms,): inverse document frequency."""


def read_words(vocabulary: Vocabulary, products: list[ProductText]) -> SparseRows:
    """(products, terms): telling words of each, length 1, or 0 where none is known."""
    columns: list[NDArray[np.int32]] = []
    weights: list[NDArray[np.float32]] = []
    for product in products:
        terms = weighted_terms(product)
        known = {vocabulary.column[t]: w for t, w in terms.items() if t in vocabulary.column}
        column = np.array(list(known), np.int32)
        weight = np.array(list(known.values()), np.float32) * vocabulary.rarity[column]
        columns.append(column)
        weights.append((weight / max(float(np.linalg.norm(weight)), 1e-9)).astype(np.float32))
    starts = np.cumsum([0, *(len(column) for column in columns)])
    return SparseRows(starts, np.concatenate(columns), np.concatenate(weights))
